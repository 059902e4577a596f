//! How device nodes reach a container: the one place that decides it.
//!
//! The low-level runtime makes device nodes from `linux.devices`. In a user namespace, or without CAP_MKNOD, it cannot: it bind-mounts
//! whatever the host has at the container's path, another device included. There gpu-runc mounts the host's device node by its own
//! path, after checking that it has the granted major:minor.
//!
//! Source: runc libcontainer/rootfs_linux.go, `createDeviceNode`; crun src/libcrun/linux.c, `libcrun_create_dev`.

use std::path::Path;

use nix::sys::stat::{FileStat, SFlag, major, minor};
use nix::unistd::geteuid;

use super::grant::Granted;
use crate::cdi::{ContainerEdits, DeviceNode};
use crate::config;
use crate::devfs;
use crate::error::{Error, Escaped, Result};
use crate::host::Host;
use crate::oci::devices::{Route, Routes};
use crate::oci::path::clean;
use crate::oci::{Spec, View};

/// The annotation by which crun keeps the groups of the user who starts the container: podman's `--group-add keep-groups`.
const KEEPS_GROUPS: &str = "run.oci.keep_original_groups";
/// The id that stands for all that a user namespace does not map.
const UNMAPPED: u64 = 65534;

/// Paths at which runc and crun put device nodes of their own, after all mounts: in a user namespace, by mounts of the host's.
/// Source: runc libcontainer/specconv, `AllowedDevices`, and `setupPtmx`; crun `needed_devs`.
const RUNTIMES_OWN: [&str; 8] =
    ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/ptmx", "/dev/console"];

/// Why the device nodes of a container have to be bind mounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// The container is in a user namespace, or this process is.
    Namespace,
    /// This process lacks CAP_MKNOD.
    Capability,
}

/// Why a device node cannot be given as a bind mount.
#[derive(Debug, PartialEq, Eq)]
enum Obstacle {
    /// The host does not have it.
    Missing,
    /// The host has something else at its path.
    Other(String),
    /// The host does not let this process find out.
    Unreadable(String),
    /// The low-level runtime puts another device at its path in the container.
    Taken,
}

/// Makes on the host those device nodes of `edits` that their driver wants made and nobody has made yet, as
/// `gpu-ctk system create-device-nodes` does. Does nothing for users other than root. Returns what could not be made, and why.
pub(super) fn make_missing(edits: &mut ContainerEdits, roots: &config::Host) -> Vec<Error> {
    let is_makeable = |node: &&mut DeviceNode| node.missing.is_some_and(|missing| missing.owner.is_some());
    let missing: Vec<&mut DeviceNode> = edits.device_nodes.iter_mut().filter(is_makeable).collect();
    if missing.is_empty() || !geteuid().is_root() {
        return Vec::new();
    }
    let place = Host::open(&roots.root).and_then(|host| devfs::nodes::place(&host, &roots.dev_root));
    let place = match place {
        Ok(Some(place)) => place,
        Ok(None) => return Vec::new(),
        Err(error) => return vec![error],
    };
    let mut errors = Vec::new();
    for node in missing {
        match devfs::nodes::make(&place, node) {
            Ok(()) => {
                let named = place.named(Path::new(node.on_host())).to_string_lossy().into_owned();
                node.host_path = if named == node.path { String::new() } else { named };
            }
            Err(error) => errors.push(error),
        }
    }
    errors
}

/// Decides how each device node of what is `granted` reaches the container. Device nodes that the container can do without, and
/// groups that it cannot join, are left out with a note. `is_made`: device nodes that `make_missing` makes count as made.
///
/// An error is a device node that the container needs and cannot get: which one, why, and the command that helps.
pub fn deliver(spec: &Spec<'_>, view: &View<'_>, granted: &mut Granted, host: &Host, is_made: bool) -> Result<Routes> {
    let edits = &mut granted.edits;
    let mut routes = Routes::new();
    if edits.device_nodes.is_empty() && edits.additional_gids.is_empty() {
        return Ok(routes);
    }
    let Some(cause) = cause(spec, &edits.device_nodes)? else { return Ok(routes) };
    let delivery = Delivery { spec, host, cause, is_made };
    let mut closed = Vec::new();
    // Of several device nodes at one path the last counts.
    for node in edits.device_nodes.iter().rev() {
        if routes.contains_key(&node.path) {
            continue;
        }
        let route = match delivery.route(node) {
            Ok((route, Some(stat))) => {
                granted.notes.extend(unchanged(node, &stat));
                if !delivery.is_open(&stat) {
                    closed.push(Escaped::name(node.on_host()).to_string());
                }
                route
            }
            Ok((route, None)) => route,
            Err(obstacle) => {
                let sentence = delivery.sentence(node, &obstacle);
                if node.missing.is_none_or(|missing| missing.is_required) {
                    return Err(Error::Inject(sentence));
                }
                granted.notes.push(format!("the container starts without {}: {sentence}", Escaped::name(&node.path)));
                Route::Omitted
            }
        };
        routes.insert(node.path.clone(), route);
    }
    if cause == Cause::Namespace {
        // What a user's own engine starts is judged by `access`, which knows the user's groups.
        let is_of_root = !closed.is_empty() && geteuid().is_root() && Host::is_initial_user_namespace()?;
        if is_of_root && view.annotation(KEEPS_GROUPS).is_none() {
            closed.sort_unstable();
            closed.dedup();
            granted.notes.push(format!(
                "{}: only the owner and the group may open it, and the container's user namespace maps neither; add a udev rule \
                 that opens it to all users, or run podman with crun and --group-add keep-groups",
                closed.join(", ")
            ));
        }
        granted.notes.extend(joinable(spec, &mut edits.additional_gids));
    }
    Ok(routes)
}

/// Why device nodes cannot be made by the low-level runtime; `None` where they can.
fn cause(spec: &Spec<'_>, nodes: &[DeviceNode]) -> Result<Option<Cause>> {
    if spec.has_user_namespace() || !Host::is_initial_user_namespace()? {
        return Ok(Some(Cause::Namespace));
    }
    // Where the host has a device node at the container's path, the low-level runtime binds the right one.
    let needs_mknod = nodes.iter().any(|node| node.on_host() != node.path || node.missing.is_some());
    Ok(Some(Cause::Capability).filter(|_| needs_mknod).filter(|_| !Host::can_make_nodes().unwrap_or(true)))
}

struct Delivery<'a, 's> {
    spec: &'a Spec<'s>,
    host: &'a Host,
    cause: Cause,
    is_made: bool,
}

impl Delivery<'_, '_> {
    /// The route of `node`, and what the host's is, where there is one.
    fn route(&self, node: &DeviceNode) -> std::result::Result<(Route, Option<FileStat>), Obstacle> {
        let path = Path::new(node.on_host());
        let source = |path: &Path| self.host.real(path).to_str().map(str::to_owned);
        let found = match self.host.find(path).map_err(|error| Obstacle::Unreadable(error.to_string()))? {
            None if self.is_made && node.missing.is_some_and(|missing| missing.owner.is_some()) => {
                let source = source(path).ok_or(Obstacle::Missing)?;
                return Ok((Route::Bind(source), None));
            }
            None => return Err(Obstacle::Missing),
            Some(found) if !is_device(&found.stat, node) => return Err(Obstacle::Other(shown(&found.stat))),
            Some(found) => found,
        };
        let no_text = || Obstacle::Unreadable("its path is not UTF-8".to_owned());
        let source = source(&found.path).ok_or_else(no_text)?;
        let place = clean(&node.path);
        let route = match () {
            () if RUNTIMES_OWN.contains(&&*place) && on_machine(&place, node) => Route::Kept,
            () if RUNTIMES_OWN.contains(&&*place) => return Err(Obstacle::Taken),
            () if self.has(node, &source) => Route::Kept,
            () => Route::Bind(source),
        };
        Ok((route, Some(found.stat)))
    }

    /// Whether the container has this device already by what the engine, or an earlier call, has written.
    fn has(&self, node: &DeviceNode, source: &str) -> bool {
        match self.spec.has_device(node) {
            Some(is_same) => is_same && (source == node.path || on_machine(&node.path, node)),
            None => match self.spec.bound_at(&node.path) {
                Some(file) if file == source => true,
                // Only in /dev: a volume may be a file system that never answers.
                Some(file) => file.starts_with("/dev/") && on_machine(&file, node),
                None => false,
            },
        }
    }

    /// Whether programs of the container may open a device node of the host, as far as its mode decides.
    fn is_open(&self, stat: &FileStat) -> bool {
        const FOR_EVERYBODY: u32 = 0o006;
        let is_mapped = |id: u32, member: &str| {
            let (id, mappings) = (u64::from(id), self.spec.id_mappings(member));
            let is_in = |(_, first, count): &(u64, u64, u64)| id.checked_sub(*first).is_some_and(|at| at < *count);
            id != UNMAPPED && (mappings.is_empty() || mappings.iter().any(is_in))
        };
        self.cause == Cause::Capability
            || stat.st_mode & FOR_EVERYBODY == FOR_EVERYBODY
            || is_mapped(stat.st_uid, "uidMappings")
            || is_mapped(stat.st_gid, "gidMappings")
    }

    /// What is wrong with `node`, why that matters, and what helps.
    fn sentence(&self, node: &DeviceNode, obstacle: &Obstacle) -> String {
        let path = Escaped::name(node.on_host());
        let (major, minor, letter) = (node.major, node.minor, Escaped::name(&node.node_type));
        let makes = match node.missing.and_then(|missing| missing.owner) {
            Some(_) => "gpu-ctk system create-device-nodes".to_owned(),
            None if node.node_type == "p" => format!("mkfifo {path}"),
            None => format!("mknod {path} {letter} {major} {minor}"),
        };
        let (what, helps) = match obstacle {
            Obstacle::Taken => {
                let place = Escaped::name(&node.path);
                return format!(
                    "{place} cannot be {path} ({major}:{minor}) in a user namespace, where the low-level runtime mounts the host's own \
                     {place}; change the path of the device node in the CDI spec"
                );
            }
            Obstacle::Missing => (format!("{path} ({major}:{minor}) is missing on the host"), makes),
            Obstacle::Other(is) => {
                (format!("{path} is {is} on the host, not {major}:{minor}"), format!("rm {path} && {makes}"))
            }
            Obstacle::Unreadable(why) => {
                (format!("{path} cannot be checked on the host: {}", Escaped::name(why)), format!("stat {path}"))
            }
        };
        let why = match self.cause {
            Cause::Namespace => "in a user namespace a container gets device nodes only by mounts of the host's",
            Cause::Capability => "without CAP_MKNOD a container gets device nodes only by mounts of the host's",
        };
        format!("{what}, and {why}; run \"{helps}\" as root")
    }
}

/// Takes out of `gids` what the container's process cannot join, and says so.
fn joinable(spec: &Spec<'_>, gids: &mut Vec<u32>) -> Option<String> {
    let mappings = spec.id_mappings("gidMappings");
    // runc refuses any group where its user is not root.
    let is_user = !geteuid().is_root();
    let can_join = |gid: &u32| {
        let gid = u64::from(*gid);
        let is_in = |(first, _, count): &(u64, u64, u64)| gid.checked_sub(*first).is_some_and(|at| at < *count);
        !is_user && gid != UNMAPPED && (mappings.is_empty() || mappings.iter().any(is_in))
    };
    let (kept, left): (Vec<u32>, Vec<u32>) = gids.iter().partition(|gid| can_join(gid));
    *gids = kept;
    let left: Vec<String> = left.iter().map(u32::to_string).collect();
    (!left.is_empty()).then(|| {
        format!(
            "the container's process does not join group {}, which its user namespace does not have",
            left.join(", ")
        )
    })
}

/// What a bind mount cannot change about the host's device node, where the description of `node` asks for it.
fn unchanged(node: &DeviceNode, stat: &FileStat) -> Option<String> {
    let mode = stat.st_mode & !SFlag::S_IFMT.bits();
    let differs = |wanted: Option<u32>, is: u32| wanted.is_some_and(|wanted| wanted != is);
    (differs(node.file_mode, mode) || differs(node.uid, stat.st_uid) || differs(node.gid, stat.st_gid)).then(|| {
        format!(
            "{} keeps the mode {mode:03o} and the owner {}:{} of the host's: a bind mount cannot have others",
            Escaped::name(&node.path),
            stat.st_uid,
            stat.st_gid
        )
    })
}

fn kind(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits())
}

/// Whether a file of the host is the device that `node` describes.
fn is_device(stat: &FileStat, node: &DeviceNode) -> bool {
    let half = |half: i64| u64::try_from(half).ok();
    let is_numbered = (half(node.major), half(node.minor)) == (Some(major(stat.st_rdev)), Some(minor(stat.st_rdev)));
    match (node.node_type.as_str(), kind(stat)) {
        ("c" | "u", SFlag::S_IFCHR) | ("b", SFlag::S_IFBLK) => is_numbered,
        ("p", SFlag::S_IFIFO) => true,
        _ => false,
    }
}

/// Whether the low-level runtime, which knows of no other root than the machine's, finds the device `node` at `path`.
fn on_machine(path: &str, node: &DeviceNode) -> bool {
    let found = Host::open(Path::new("/")).and_then(|machine| machine.find(Path::new(path)));
    matches!(found, Ok(Some(found)) if is_device(&found.stat, node))
}

fn shown(stat: &FileStat) -> String {
    match kind(stat) {
        SFlag::S_IFCHR | SFlag::S_IFBLK => format!("{}:{}", major(stat.st_rdev), minor(stat.st_rdev)),
        _ => "not a device node".to_owned(),
    }
}
