//! Files that name programs run as root: an access control list that lets somebody else write is seen as a mode that does is.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::fs::{XattrFlags, setxattr};
use serde_json::json;

use crate::hosts::{configure, create, ctk};
use crate::scratch::skip;

const ASKS: &[&str] = &["GPU_VISIBLE_DEVICES=acme.example/npu=0"];

/// Lets user 1000 have `may` of `path`, which root owns, as setfacl does. False where the file system has no such lists.
fn allow(path: &Path, may: u16) -> bool {
    let none = u32::MAX;
    let entries: [(u16, u16, u32); 5] = [(1, 7, none), (2, may, 1000), (4, 7, none), (16, 7, none), (32, 5, none)];
    let entry =
        |(tag, may, id): (u16, u16, u32)| [&tag.to_le_bytes()[..], &may.to_le_bytes(), &id.to_le_bytes()].concat();
    let list = [2_u32.to_le_bytes().to_vec(), entries.into_iter().flat_map(entry).collect()].concat();
    setxattr(path, "system.posix_acl_access", &list, XattrFlags::empty()).is_ok()
}

#[test]
fn an_access_control_list_is_no_way_around_the_mode() {
    let scratch = tempfile::tempdir().unwrap();
    let root = scratch.path();
    configure(root, "");
    fs::set_permissions(root.join("gpu-runc.toml"), Permissions::from_mode(0o644)).unwrap();
    fs::create_dir(root.join("cdi")).unwrap();
    fs::set_permissions(root.join("cdi"), Permissions::from_mode(0o755)).unwrap();
    let spec = json!({"cdiVersion": "0.6.0", "kind": "acme.example/npu",
                      "devices": [{"name": "0", "containerEdits": {"env": ["A=b"]}}]});
    let file = root.join("cdi/acme.json");
    for (what, path, may, refused) in [
        ("a spec that root's group may write", "cdi/acme.json", None, ""),
        ("a spec that somebody may read", "cdi/acme.json", Some(4), ""),
        ("a spec that somebody may write", "cdi/acme.json", Some(6), "acme.json"),
        ("a directory of specs", "cdi", Some(7), "the spec directory is not used"),
        ("the configuration", "gpu-runc.toml", Some(6), "gpu-runc.toml: not believed"),
        ("the configuration's directory", "", Some(7), "because of its folder"),
    ] {
        fs::write(&file, spec.to_string()).unwrap();
        let path = root.join(path);
        let before = fs::metadata(&path).unwrap().permissions();
        fs::set_permissions(&path, Permissions::from_mode(before.mode() & 0o7777 | 0o070)).unwrap();
        if may.is_some_and(|may| !allow(&path, may)) {
            return skip("access control lists", "this file system has none");
        }
        match (create(root, ASKS), refused) {
            (Ok(_), "") => {}
            (Err(told), part) if !part.is_empty() => {
                assert!(told.contains(part) && told.contains("(ACL, user 1000): setfacl -b "), "{what}: {told}");
            }
            (outcome, _) => panic!("{what}: {outcome:?}"),
        }
        if refused == "acme.json" {
            let told = ctk(root, &["cdi", "list"]);
            let told = [told.stdout, told.stderr].concat();
            assert!(String::from_utf8_lossy(&told).contains("(ACL, user 1000)"), "{what}");
        }
        let _ = rustix::fs::removexattr(&path, "system.posix_acl_access");
        fs::set_permissions(&path, before).unwrap();
    }
}
