//! Spec directories: which file counts, and what cannot be used.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use gpu_runc::cdi::{self, Kind, Lookup, Registry};
use gpu_runc::error::Error;

use super::spec;

/// Makes a file that nobody but its owner can write.
pub(super) fn put(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::set_permissions(path.parent().unwrap(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
}

/// What can be found, by file, and what is wrong, by file; paths relative to `root`.
pub(super) fn found(registry: &Registry, root: &Path) -> (BTreeMap<String, String>, BTreeMap<String, String>) {
    let short = |path: &Path| path.strip_prefix(root).unwrap_or(path).display().to_string();
    let mut devices = BTreeMap::new();
    for kind in registry.kinds() {
        for name in registry.names(kind) {
            let name = kind.device(name).unwrap();
            let Lookup::Found(part) = registry.find(&name) else { panic!("{name} is listed and not found") };
            devices.insert(name.to_string(), short(registry.path(part.file)));
        }
    }
    let problems = registry.problems().iter().map(|problem| (short(&problem.path), problem.message.clone())).collect();
    (devices, problems)
}

#[test]
fn directories_are_read_in_the_order_of_their_priority() {
    type Files<'a> = &'a [(&'a str, &'a str)];
    for (what, files, devices, problems) in [
        (
            "the later directory wins",
            &[("0/a.json", "n0"), ("1/b.json", "n0")] as Files,
            &[("n0", "1/b.json")] as Files,
            &[] as Files,
        ),
        (
            "a clash in one directory takes the device away and nothing else",
            &[("0/a.json", "n0"), ("0/b.json", "n0"), ("0/c.json", "n1")],
            &[("n1", "0/c.json")],
            &[("0/a.json", "conflicting device \"acme.example/npu=n0\""), ("0/b.json", "conflicting device")],
        ),
        (
            "a clash below is settled above",
            &[("0/a.json", "n0"), ("0/b.json", "n0"), ("1/c.json", "n0")],
            &[("n0", "1/c.json")],
            &[("0/a.json", "conflicting device"), ("0/b.json", "conflicting device")],
        ),
        (
            "a clash above hides what is below",
            &[("0/c.json", "n0"), ("1/a.json", "n0"), ("1/b.json", "n0")],
            &[],
            &[("1/a.json", "conflicting device"), ("1/b.json", "conflicting device")],
        ),
        (
            "a bad file leaves the good ones alone",
            &[("0/a.json", "n0"), ("0/bad.yaml", "="), ("1/worse.json", "=")],
            &[("n0", "0/a.json")],
            &[("0/bad.yaml", "failed to load CDI Spec"), ("1/worse.json", "failed to load CDI Spec")],
        ),
        (
            "a bad file hides nothing below it",
            &[("0/a.json", "n0"), ("1/a.json", "n 0")],
            &[("n0", "0/a.json")],
            &[("1/a.json", "invalid character")],
        ),
        (
            "only .json and .yaml count, exactly so",
            &[("0/a.yml", "y"), ("0/b.JSON", "j"), ("0/c.yaml.bak", "k"), ("0/.yaml", "h"), ("0/d.json", "d")],
            &[("d", "0/d.json"), ("h", "0/.yaml")],
            &[],
        ),
        (
            "directories in it are not entered",
            &[("0/sub/a.json", "n0"), ("0/x.json/a.json", "n1"), ("0/b.json", "n2")],
            &[("n2", "0/b.json")],
            &[],
        ),
        ("an absent directory is no problem", &[("1/b.json", "n1")], &[("n1", "1/b.json")], &[]),
    ] {
        let root = tempfile::tempdir().unwrap();
        for (path, device) in files {
            put(&root.path().join(path), &if *device == "=" { "kind: [".to_owned() } else { spec(device, path) });
        }
        let dirs = [root.path().join("0"), root.path().join("1")];
        let expected: BTreeMap<_, _> =
            devices.iter().map(|(name, path)| (format!("acme.example/npu={name}"), (*path).to_owned())).collect();
        for registry in [Registry::load_all(&dirs), Registry::load(&dirs, &|_, name| !name.is_empty())] {
            let (found, told) = found(&registry, root.path());
            assert_eq!(found, expected, "{what}");
            assert_eq!(
                told.keys().collect::<Vec<_>>(),
                problems.iter().map(|(path, _)| path).collect::<Vec<_>>(),
                "{what}"
            );
            for (path, part) in problems {
                assert!(told[*path].contains(part), "{what}: {}", told[*path]);
            }
        }
        for (name, path) in devices {
            let registry = Registry::load_named(&dirs, &|_, device| device == *name, &[(*name).into()]);
            let one = BTreeMap::from([(format!("acme.example/npu={name}"), (*path).to_owned())]);
            assert_eq!(found(&registry, root.path()).0, one, "{what}");
        }
    }
}

#[test]
fn what_cannot_be_read_is_said_and_the_rest_is_used() {
    let root = tempfile::tempdir().unwrap();
    let at = |path: &str| root.path().join(path);
    put(&at("0/good.json"), &spec("n0", "good"));
    put(&at("elsewhere/linked.json"), &spec("ln", "linked"));
    put(&at("0/loose.json"), &spec("n1", "loose"));
    fs::set_permissions(at("0/loose.json"), fs::Permissions::from_mode(0o666)).unwrap();
    fs::write(at("0/latin.yaml"), b"kind: \xe9\n").unwrap();
    symlink(at("elsewhere/linked.json"), at("0/link.json")).unwrap();
    symlink("/nowhere/at/all", at("0/dangling.json")).unwrap();
    symlink(at("elsewhere"), at("0/folder.json")).unwrap();
    nix::unistd::mkfifo(&at("0/fifo.json"), nix::sys::stat::Mode::from_bits_truncate(0o644)).unwrap();
    fs::File::create(at("0/huge.json")).unwrap().set_len(9 << 20).unwrap();
    put(&at("file"), "");
    put(&at("open/a.json"), &spec("n2", "open"));
    fs::set_permissions(at("open"), fs::Permissions::from_mode(0o1777)).unwrap();
    symlink(at("0"), at("2")).unwrap();
    nix::unistd::mkfifo(&at("pipe"), nix::sys::stat::Mode::from_bits_truncate(0o644)).unwrap();

    let registry = Registry::load_all(&[at("file"), at("pipe"), at("open"), at("0"), at("2")]);
    let (devices, problems) = found(&registry, root.path());
    let expected = [("acme.example/npu=ln", "2/link.json"), ("acme.example/npu=n0", "2/good.json")];
    assert_eq!(devices, expected.map(|(name, path)| (name.to_owned(), path.to_owned())).into());
    for (path, part) in [
        ("file", "cannot open the spec directory: a part of the path is no folder"),
        ("pipe", "cannot open the spec directory: a part of the path is no folder"),
        ("open", "(mode 1777"),
        ("0/loose.json", "(mode 0666, group "),
        ("0/latin.yaml", "it is not UTF-8 after byte 6"),
        ("0/dangling.json", "it is a link to nothing"),
        ("0/folder.json", "it is no regular file"),
        ("0/fifo.json", "it is no regular file"),
        ("0/huge.json", "expected at most 8388608"),
    ] {
        assert!(problems[path].contains(part), "{path}: {}", problems[path]);
    }
    assert!(problems["0/loose.json"].ends_with(&format!("chmod go-w {}", at("0/loose.json").display())));
}

#[test]
fn what_nobody_asks_for_is_not_read_and_what_is_asked_for_is_judged() {
    let root = tempfile::tempdir().unwrap();
    let text = concat!(
        "cdiVersion: 0.3.0\nkind: acme.example/npu\ncontainerEdits:\n  env:\n  - G=1\ndevices:\n",
        "- name: good\n  containerEdits:\n    env:\n    - A=1\n",
        "- name: bad\n  containerEdits:\n    env:\n    - A\n"
    );
    put(&root.path().join("a.yaml"), text);
    let dirs = [root.path().to_owned()];
    let names = |wants: &dyn Fn(&Kind, &str) -> bool| {
        let registry = Registry::load(&dirs, wants);
        let kind: Kind = "acme.example/npu".parse().unwrap();
        assert_eq!(registry.kinds(), if registry.problems().is_empty() { vec![&kind] } else { vec![] });
        let names = registry.names(&kind).into_iter().map(str::to_owned).collect::<Vec<_>>();
        (names, registry.problems().iter().map(|problem| Error::from(problem.clone()).to_string()).collect::<Vec<_>>())
    };
    let nothing: (Vec<String>, Vec<String>) = (vec![], vec![]);
    assert_eq!(names(&|_, _| false), nothing);
    assert_eq!(names(&|kind, name| kind.class() == "npu" && name == "good"), (vec!["good".to_owned()], vec![]));
    let fault =
        "failed to load CDI Spec: devices[1] \"bad\": env[0]: invalid environment variable \"A\", expected NAME=value";
    let problem = vec![format!("{}:11: {fault}", root.path().join("a.yaml").display())];
    assert_eq!(names(&|_, name| name == "bad"), (vec![], problem.clone()));
    assert_eq!(names(&|_, _| true), (vec![], problem));
    put(&root.path().join("a.yaml"), &text.replace("- G=1", "- G"));
    assert_eq!(names(&|_, _| false), nothing);
    assert_eq!(names(&|_, name| name == "good").1.len(), 1, "the file's own edits are judged with a device's");
}

#[test]
fn in_a_file_with_very_many_devices_the_one_that_is_named_is_found() {
    let kind: Kind = "acme.example/npu".parse().unwrap();
    let mut spec: cdi::Spec = cdi::parse(&spec("n0", "many")).unwrap();
    let device = spec.devices.remove(0);
    spec.devices = (0..3_000).map(|i| cdi::Device { name: format!("n{i}"), ..device.clone() }).collect();
    // Letters of several bytes stand where the file is cut into pieces; such YAML is read whole.
    for (name, site) in [("a.json", "site"), ("a.json", "ä€𝄞"), ("a.yaml", "site"), ("a.yaml", "ä€𝄞")] {
        spec.container_edits.env = vec![format!("SITE={}", site.repeat(9_000))];
        let text = if name == "a.json" { cdi::write::to_json(&spec) } else { cdi::write::to_yaml(&spec) };
        let root = tempfile::tempdir().unwrap();
        let dirs = [root.path().to_owned()];
        put(&root.path().join(name), &text);
        for (device, is_there) in [("n0", true), ("n1500", true), ("n2999", true), ("n3000", false), ("m0", false)] {
            let registry = Registry::load_named(&dirs, &|_, name| name == device, &[device.into()]);
            assert_eq!(registry.problems(), [], "{name}");
            let found = registry.find(&kind.device(device).unwrap());
            assert_eq!(matches!(found, Lookup::Found(_)), is_there, "{device} in {name}: {found:?}");
            if let Lookup::Found(part) = found {
                assert_eq!(registry.edits(part), Some(&spec.devices[0].container_edits));
                assert_eq!(registry.edits(part.file.of_all_devices()), Some(&spec.container_edits));
            }
        }
        // What is wrong is told of the whole.
        put(&root.path().join(name), &text.replace("n1499", "n1500"));
        let registry = Registry::load_named(&dirs, &|_, name| name == "n1500", &["n1500".into()]);
        let [problem] = registry.problems() else { panic!("{:?}", registry.problems()) };
        assert!(problem.message.contains("devices[1500]: invalid spec, multiple device \"n1500\""), "{problem:?}");
    }
}

#[test]
fn specs_made_in_memory_fill_what_no_file_describes() {
    let root = tempfile::tempdir().unwrap();
    put(&root.path().join("a.json"), &spec("10", "file").replace("0.3.0", "0.5.0"));
    let mut registry = Registry::load_all(&[root.path().to_owned()]);
    for device in ["10", "9"] {
        registry.add(
            cdi::parse(&spec(device, "memory").replace("0.3.0", "0.5.0")).unwrap(),
            &format!("generated {device}"),
        );
    }
    let kind: Kind = "acme.example/npu".parse().unwrap();
    assert_eq!(registry.names(&kind), ["9", "10"]);
    for (device, from, path) in
        [("10", "FROM=file", root.path().join("a.json")), ("9", "FROM=memory", PathBuf::from("generated 9"))]
    {
        let Lookup::Found(part) = registry.find(&kind.device(device).unwrap()) else { panic!("{device}") };
        let edits = registry.edits(part).unwrap();
        assert_eq!((&edits.env, registry.path(part.file)), (&vec![from.to_owned()], path.as_path()));
    }
    assert_eq!(registry.find(&kind.device("8").unwrap()), Lookup::Absent);
    for (device, expected) in [("10", true), ("9", true), ("8", false)] {
        assert_eq!(registry.describes(&kind.device(device).unwrap()), expected, "{device}");
    }
}
