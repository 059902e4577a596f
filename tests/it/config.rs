//! `gpu-ctk config` as a person meets it: what it prints, where, and how it exits.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::scratch::Scratch;

fn ctk(scratch: &Scratch, args: &[&str]) -> (Option<i32>, String, String) {
    ctk_with("config.toml", scratch, args)
}

/// With this file for the configuration.
fn ctk_with(config: &str, scratch: &Scratch, args: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gpu-ctk"));
    command.env("GPU_RUNC_CONFIG", config).current_dir(scratch.path("")).arg("config").args(args);
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_default_file_is_printed_with_comments_and_is_valid() {
    let scratch = Scratch::new();
    let (code, out, err) = ctk(&scratch, &["default"]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.contains("\n[policy]") && out.contains("\nmounts = true                        # whether"), "{out}");
    scratch.write("config.toml", &out);
    assert_eq!(ctk(&scratch, &["check"]), (Some(0), "config.toml: valid\n".to_owned(), String::new()));
}

#[test]
fn what_is_in_force_is_shown_with_the_name_of_its_file() {
    let scratch = Scratch::new();
    scratch.write("config.toml", "");
    let (_, out, _) = ctk(&scratch, &["show"]);
    let (_, defaults, _) = ctk(&scratch, &["default"]);
    assert!(out.starts_with("# config.toml\n\nruntimes = "), "{out}");
    assert!(defaults.contains(out.split_once("\n\n").unwrap().1), "{out}");
    assert_eq!(
        ctk_with("/dev/null", &scratch, &["show"]).1,
        out.replace("config.toml", "/dev/null"),
        "it names no file"
    );
    if !std::path::Path::new(gpu_runc::config::PATH).exists() {
        let shown = ctk_with("", &scratch, &["show"]).1;
        assert!(shown.starts_with("# the defaults: there is no /etc/gpu-runc/config.toml\n\nruntimes = "), "{shown}");
        let (code, out, _) = ctk_with("", &scratch, &["check"]);
        assert_eq!(
            (code, out.as_str()),
            (Some(0), "/etc/gpu-runc/config.toml: not there; the defaults are in force\n")
        );
    }
    scratch.write("config.toml", "runtimes = [\"crun\"]\n[log]\nlevel = \"off\"\n");
    let (code, out, _) = ctk(&scratch, &["show"]);
    assert!(code == Some(0) && out.starts_with("# config.toml\n\nruntimes = [\"crun\"] "), "{out}");
    assert!(out.contains("\nlevel = \"off\" ") && out.contains("\nmounts = true "), "{out}");
}

#[test]
fn what_is_wrong_is_said_with_file_and_line() {
    const ACME: &str = "[[vendor]]\nname = \"acme\"\nkind = \"acme.example/npu\"\ndevices = \"/dev/acme*\"\n";
    let scratch = Scratch::new();
    for (text, message) in [
        ("[policy]\nenvs = \"never\"\n", "gpu-ctk: config.toml:2: unknown key \"envs\", did you mean \"env\"?\n"),
        ("[log]\n\nfile = \"x\"\n", "gpu-ctk: config.toml:3: log.file is \"x\"; it must be an absolute path\n"),
        ("x = [\n", "gpu-ctk: config.toml:"),
        (
            &format!("{ACME}\n{}", ACME.replace("acme\"", "other\"")),
            "gpu-ctk: config.toml:6: vendor \"other\": kind acme.example/npu is another vendor's\n",
        ),
    ] {
        scratch.write("config.toml", text);
        for args in [&["check"][..], &["check", "config.toml"], &["show"]] {
            let (code, out, err) = ctk(&scratch, args);
            assert!(code == Some(1) && out.is_empty() && err.starts_with(message), "{args:?} {text}: {err}");
        }
        assert_eq!(ctk(&scratch, &["default"]).0, Some(0), "a broken file keeps nobody from the defaults");
    }
    scratch.write("good.toml", ACME);
    assert_eq!(ctk(&scratch, &["check", "good.toml"]), (Some(0), "good.toml: valid\n".to_owned(), String::new()));
    let (code, _, err) = ctk(&scratch, &["check", "absent.toml"]);
    assert_eq!((code, err.as_str()), (Some(1), "gpu-ctk: cannot read absent.toml: not found\n"));
    fs::remove_file(scratch.path("config.toml")).unwrap();
    const ABSENT: &str = "gpu-ctk: config.toml: not found, though GPU_RUNC_CONFIG names it; ";
    for args in [["check"], ["show"]] {
        let (code, out, err) = ctk(&scratch, &args);
        assert!(code == Some(1) && out.is_empty() && err.starts_with(ABSENT), "{args:?}: {err}");
    }
}

#[test]
fn a_file_that_gpu_runc_would_not_believe_is_not_valid() {
    let scratch = Scratch::new();
    scratch.write("folder/config.toml", "");
    for (folder, file, wrong) in [
        (0o755, 0o644, ""),
        (0o755, 0o666, "folder/config.toml: not believed: others than its owner may write to it (mode 0666, "),
        (
            0o777,
            0o644,
            "folder/config.toml: not believed, because of its folder: others than its owner may write to it (mode 0777, ",
        ),
        // There, others may add files, and put none in place of this one.
        (0o1777, 0o644, ""),
        (0o1777, 0o666, "not believed: others than its owner may write"),
    ] {
        for (name, mode) in [("folder", folder), ("folder/config.toml", file)] {
            fs::set_permissions(scratch.path(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        for args in [["check"].as_slice(), &["check", "folder/config.toml"], &["show"]] {
            let (code, out, err) = ctk_with("folder/config.toml", &scratch, args);
            assert_eq!(
                (code, out.is_empty()),
                if wrong.is_empty() { (Some(0), false) } else { (Some(1), true) },
                "{err}"
            );
            assert!(err.contains(wrong), "{folder:o} {file:o} {args:?}: {err}");
        }
    }
}

#[test]
fn an_imported_file_can_be_used_and_what_it_lacks_is_said() {
    let scratch = Scratch::new();
    scratch.write(
        "nvidia.toml",
        "disable-require = true\n[nvidia-container-runtime]\nmode = \"cdi\"\nruntimes = [\"crun\"]\n",
    );
    let (code, out, err) = ctk(&scratch, &["import", "nvidia.toml"]);
    assert!(code == Some(0) && out.starts_with("# from nvidia.toml\n\nruntimes = [\"crun\"] "), "{out}");
    let lines: Vec<_> = err.lines().collect();
    assert_eq!(lines.len(), 3, "{err}");
    assert!(lines[0].starts_with("gpu-ctk: nvidia.toml:1: disable-require is not carried over: "), "{err}");
    assert!(lines[1].ends_with("volume-mounts is not set, which means false, and becomes policy.mounts"), "{err}");
    assert!(lines[2].ends_with("which means true; for pods policy.pods.env stays what it is here"), "{err}");
    scratch.write("config.toml", &out);
    let (_, shown, _) = ctk(&scratch, &["show"]);
    assert_eq!(shown.split_once("\n\n").unwrap().1, out.split_once("\n\n").unwrap().1);
    assert!(shown.contains("\ngenerate = \"never\" ") && shown.contains("\nmounts = false "), "{shown}");
    let (code, _, err) = ctk(&scratch, &["import", "absent"]);
    assert!(code == Some(1) && err.contains("cannot read absent: not found"), "{err}");
}
