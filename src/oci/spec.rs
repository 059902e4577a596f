//! A bundle's config.json: a document that is read in parts and edited without loss.

use std::borrow::Cow;
use std::path::Path;

use super::json::{Object, elements, string};
use super::view::{Backing, HookView, MountView, View, is_of_kubepods};
use crate::error::{Error, Escaped, Result};

/// A config.json, borrowed from its text.
#[derive(Debug)]
pub struct Spec<'a> {
    /// The whole text.
    pub(super) text: &'a str,
    /// Where it was read from, for messages.
    pub(super) path: &'a Path,
    /// Where the object in it ends. runc ignores what follows.
    end: usize,
    top: Object<'a>,
}

impl<'a> Spec<'a> {
    /// Reads the document in `text`; `path` is for messages. Errors are those of JSON syntax, with line and column.
    pub fn parse(text: &'a str, path: &'a Path) -> Result<Self> {
        let mut stream = serde_json::Deserializer::from_str(text).into_iter::<Object<'a>>();
        let top = match stream.next() {
            Some(Ok(top)) => top,
            Some(Err(cause)) => {
                return Err(Error::Spec {
                    path: path.to_owned(),
                    message: format!("not valid JSON: {cause}; the engine that wrote it should be asked why"),
                });
            }
            None => {
                return Err(Error::Spec {
                    path: path.to_owned(),
                    message: "the file is empty; the engine should have written the container's configuration"
                        .to_owned(),
                });
            }
        };
        Ok(Spec { text, path, end: stream.byte_offset(), top })
    }

    /// The value at `path`, read as runc reads it. `null` and what is not below objects is absent.
    pub fn get(&self, path: &[&str]) -> Option<&'a str> {
        let (last, way) = path.split_last()?;
        way.iter().try_fold(&self.top, |object, name| object.object(name))?.get(last)
    }

    /// The elements of the array at `path`; none when it is absent or no array.
    pub fn list(&self, path: &[&str]) -> Vec<&'a str> {
        self.get(path).and_then(elements).unwrap_or_default()
    }

    /// Refuses to act on a document of which a member that decides what a container gets, or where, cannot be read: to go on
    /// as if it were absent would let a policy pass that it is to decide. What other parsers read differently is refused too.
    pub fn check(&self) -> Result<()> {
        self.check_members(DECIDING)
    }

    /// `root.path`, as written: absolute, or below the bundle. An error where parsers may find different ones: others would
    /// then work in one root, we in the other.
    pub fn root(&self) -> Result<Option<Cow<'a, str>>> {
        self.check_members(&[ROOT])?;
        Ok(self.get(&["root", "path"]).and_then(string))
    }

    fn check_members(&self, members: &[Expected]) -> Result<()> {
        fault(&self.top, members, "").map_or(Ok(()), |why| Err(self.refused(&why)))
    }

    /// The error for a document that can be read but not be changed, or acted on, without a doubt.
    pub(super) fn refused(&self, why: &str) -> Error {
        Error::Spec { path: self.path.to_owned(), message: format!("cannot be edited safely: {why}") }
    }

    /// A number at `path`, refused if it is there and cannot be what runc would read.
    pub(super) fn number(&self, path: &[&str]) -> std::result::Result<Option<u32>, String> {
        self.get(path)
            .map(|raw| raw.parse().map_err(|_| format!("{} is {raw}, not a whole number below 2^32", path.join("."))))
            .transpose()
    }

    /// Whether something other than white space follows the document.
    pub(super) fn has_more_text(&self) -> bool {
        self.text.get(self.end..).is_some_and(|rest| !rest.trim().is_empty())
    }

    /// The parts of the document that matter to a GPU request. Where a member comes twice, what any of them asks counts as
    /// asked: [`Spec::check`] refuses it then, rather than a request be overlooked.
    pub fn view(&self) -> View<'a> {
        let processes = || self.top.objects("process");
        let capabilities = processes().flat_map(|process| process.objects("capabilities"));
        let bounding: Vec<_> = capabilities.flat_map(|sets| strings(sets.all("bounding"))).collect();
        let is_bounding = |name: &str| bounding.iter().any(|capability| capability == name);
        let linux = |name: &'static str| self.top.objects("linux").flat_map(move |linux| linux.all(name));
        let has_user_namespace = || linux("namespaces").filter_map(elements).flatten().any(is_user_namespace);
        View {
            env: strings(processes().flat_map(|process| process.all("env"))),
            annotations: self.annotations(),
            mounts: self.top.all("mounts").filter_map(elements).flatten().filter_map(mount).collect(),
            hooks: self.hooks(),
            privileged: is_bounding("CAP_SYS_ADMIN") && !has_user_namespace(),
            makes_nodes: is_bounding("CAP_MKNOD"),
            has_kubepods_cgroup: linux("cgroupsPath").filter_map(string).any(|path| is_of_kubepods(&path)),
        }
    }

    fn annotations(&self) -> Vec<(Cow<'a, str>, Cow<'a, str>)> {
        let members = self.top.objects("annotations").flat_map(Object::members);
        members.filter_map(|(key, value)| Some((key.clone(), string(value)?))).collect()
    }

    fn hooks(&self) -> Vec<HookView<'a>> {
        let mut hooks = Vec::new();
        for (stage, list) in self.top.objects("hooks").flat_map(Object::members) {
            let entries = elements(list).unwrap_or_default().into_iter().enumerate();
            hooks.extend(entries.filter_map(|(index, raw)| hook(stage.clone(), index, raw)));
        }
        hooks
    }
}

/// A member, and what it is if it is there.
type Expected = (&'static str, Shape);

#[derive(Debug)]
enum Shape {
    Text,
    List,
    /// An object whose members are all texts.
    Texts,
    /// An object that may have these members.
    Members(&'static [Expected]),
}

/// The members on which it depends what a container gets, and where.
const DECIDING: &[Expected] = &[
    ("annotations", Shape::Texts),
    (
        "process",
        Shape::Members(&[("env", Shape::List), ("capabilities", Shape::Members(&[("bounding", Shape::List)]))]),
    ),
    ("mounts", Shape::List),
    ("hooks", Shape::Members(&[])),
    ("linux", Shape::Members(&[("namespaces", Shape::List), ("cgroupsPath", Shape::Text)])),
    ROOT,
];
const ROOT: Expected = ("root", Shape::Members(&[("path", Shape::Text)]));

/// Why one of `members` of `object`, whose names begin with `place` in messages, cannot be read for certain, if so.
fn fault(object: &Object<'_>, members: &[Expected], place: &str) -> Option<String> {
    members.iter().find_map(|(name, shape)| {
        if let Some(why) = object.ambiguity(name) {
            return Some(place.strip_suffix('.').map(|place| format!("{place}: {why}")).unwrap_or(why));
        }
        let place = format!("{place}{name}");
        let raw = object.get(name)?;
        let is_no = |what: &str| Some(format!("{place} is no {what}"));
        match shape {
            Shape::Text if string(raw).is_none() => is_no("string"),
            Shape::List if !raw.starts_with('[') => is_no("array"),
            Shape::Text | Shape::List => None,
            Shape::Texts | Shape::Members(_) => match (object.object(name), shape) {
                (None, _) => is_no("object"),
                (Some(object), Shape::Members(members)) => fault(object, members, &format!("{place}.")),
                (Some(object), _) => {
                    let (key, _) = object.members().find(|(_, raw)| string(raw).is_none())?;
                    Some(format!("{} in {place} is no string", Escaped::quoted(&**key)))
                }
            },
        }
    })
}

fn object(raw: &str) -> Option<Object<'_>> {
    Object::parse(raw).ok()
}

/// The strings in all of `arrays`.
fn strings<'a>(arrays: impl Iterator<Item = &'a str>) -> Vec<Cow<'a, str>> {
    arrays.filter_map(elements).flatten().filter_map(string).collect()
}

fn is_user_namespace(raw: &str) -> bool {
    object(raw).is_some_and(|namespace| namespace.get("type").and_then(string).as_deref() == Some("user"))
}

fn mount(raw: &str) -> Option<MountView<'_>> {
    let object = object(raw)?;
    let source = object.get("source").and_then(string).unwrap_or_default();
    let options = strings(object.get("options").into_iter());
    let has = |name: &str| options.iter().any(|option| option == name);
    let is_bind = has("bind") || has("rbind");
    let backing = match object.get("type").and_then(string).as_deref() {
        Some("bind") if source.starts_with('/') => Backing::Host,
        _ if is_bind && source.starts_with('/') => Backing::Host,
        Some("tmpfs") if !is_bind && !has("ro") => match has("tmpcopyup") {
            true => Backing::Copy,
            false => Backing::Memory,
        },
        _ => Backing::Other,
    };
    Some(MountView { destination: object.get("destination").and_then(string)?, source, backing })
}

fn hook<'a>(stage: Cow<'a, str>, index: usize, raw: &'a str) -> Option<HookView<'a>> {
    let object = object(raw)?;
    let args = object.get("args").and_then(elements).unwrap_or_default();
    Some(HookView {
        stage,
        index,
        path: object.get("path").and_then(string)?,
        args: args.into_iter().filter_map(string).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cdi::ContainerEdits;
    use crate::oci::apply::Changes;
    use crate::oci::devices::Routes;

    #[test]
    fn an_id_that_the_low_level_runtime_could_not_read_is_refused() {
        let edits = r#"{"deviceNodes":[{"path":"/dev/n","type":"c","major":1,"minor":3}],"additionalGids":[7]}"#;
        let edits: ContainerEdits = serde_json::from_str(edits).unwrap();
        let after = |uid: &str| {
            let text = format!(r#"{{"process":{{"user":{{"uid":{uid},"gid":2}}}}}}"#);
            let routes = &Routes::new();
            let changes = Changes { edits: &edits, routes, replaced_hooks: &[], unified: &[] };
            Spec::parse(&text, Path::new("config.json")).unwrap().apply(&changes).map_err(|error| error.to_string())
        };
        for uid in ["4294967296", "-1", "1e3", "1.0", "\"0\"", "[]", "18446744073709551616"] {
            let refusal = after(uid).unwrap_err();
            assert!(refusal.contains(&format!("process.user.uid is {uid}, not a whole number")), "{refusal}");
        }
        for uid in ["1", "2147483648", "4294967295"] {
            let after = after(uid).unwrap().unwrap();
            assert!(after.contains(&format!(r#""user":{{"uid":{uid},"gid":2,"additionalGids":[7]}}"#)), "{after}");
            assert!(after.contains(&format!(r#""minor":3,"uid":{uid},"gid":2"#)), "{after}");
        }
    }

    #[test]
    fn a_capability_in_a_user_namespace_is_no_privilege() {
        let admin = r#""process":{"capabilities":{"bounding":["CAP_MKNOD","CAP_SYS_ADMIN"]}}"#;
        for (linux, privileged) in [
            (r"{}", true),
            (r#"{"namespaces":[{"type":"pid"},{"type":"mount"}]}"#, true),
            (r#"{"namespaces":[{"type":"pid"},{"type":"user"}]}"#, false),
            (r#"{"namespaces":[{"type":"user","path":"/proc/7/ns/user"}]}"#, false),
            (r#"{"namespaces":[{"Type":"\u0075ser"}]}"#, false),
            (r#"{"namespaces":[{"type":"user"}],"namespaces":[]}"#, false),
        ] {
            let text = format!(r#"{{{admin},"linux":{linux}}}"#);
            let view = Spec::parse(&text, Path::new("config.json")).unwrap().view();
            assert_eq!(view.privileged, privileged, "{linux}");
            assert!(view.makes_nodes, "{linux}");
        }
        let text = r#"{"linux":{"namespaces":[]}}"#;
        assert!(!Spec::parse(text, Path::new("config.json")).unwrap().view().privileged);
    }

    #[test]
    fn the_kubelets_cgroup_is_seen_however_it_is_spelt() {
        for (linux, expected) in [
            (r#"{"cgroupsPath":"/kubepods/pod1/2"}"#, true),
            (r#"{"CgroupsPath":"/kube\u0070ods/pod1/2"}"#, true),
            (r#"{"cgroupsPath":"/kubepods/pod1/2","cgroupsPath":"/docker/2"}"#, true),
            (r#"{"cgroupsPath":"/docker/2"}"#, false),
            (r#"{"cgroupsPath":null}"#, false),
            ("{}", false),
        ] {
            let text = format!(r#"{{"linux":{linux}}}"#);
            let spec = Spec::parse(&text, Path::new("config.json")).unwrap();
            assert_eq!(spec.view().has_kubepods_cgroup, expected, "{linux}");
        }
    }

    #[test]
    fn a_mounts_files_come_from_the_host_from_memory_or_from_nowhere_that_is_known() {
        for (mount, backing) in [
            (r#""source":"/s","options":["rbind","ro"]"#, Backing::Host),
            (r#""source":"/s","options":["\u0062ind"]"#, Backing::Host),
            (r#""source":"/s","type":"bind""#, Backing::Host),
            (r#""source":"/s","type":"tmpfs","options":["bind"]"#, Backing::Host),
            (r#""source":"s","type":"bind""#, Backing::Other),
            (r#""source":"tmpfs","type":"tmpfs""#, Backing::Memory),
            (r#""source":"tmpfs","type":"tmpfs","options":["tmpcopyup"]"#, Backing::Copy),
            (r#""source":"tmpfs","type":"tmpfs","options":["ro"]"#, Backing::Other),
            (r#""source":"overlay","type":"overlay""#, Backing::Other),
            (r#""source":"/s""#, Backing::Other),
            (r#""type":7"#, Backing::Other),
        ] {
            let text = format!(r#"{{"mounts":[{{"destination":"/m",{mount}}}]}}"#);
            let spec = Spec::parse(&text, Path::new("config.json")).unwrap();
            assert_eq!(spec.view().mounts.first().unwrap().backing, backing, "{mount}");
        }
    }
}
