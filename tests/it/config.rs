//! `gpu-ctk config` as a person meets it: what it prints, where, and how it exits.

use std::process::Command;

use crate::scratch::Scratch;

fn ctk(scratch: &Scratch, args: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gpu-ctk"));
    command.env("GPU_RUNC_CONFIG", "config.toml").current_dir(scratch.path("")).arg("config").args(args);
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
    let (_, out, _) = ctk(&scratch, &["show"]);
    let (_, defaults, _) = ctk(&scratch, &["default"]);
    assert!(out.starts_with("# the defaults: there is no config.toml\n\nruntimes = "), "{out}");
    assert!(defaults.starts_with(out.split_once("\n\n").unwrap().1), "{out}");
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
    std::fs::remove_file(scratch.path("config.toml")).unwrap();
    let (code, out, _) = ctk(&scratch, &["check"]);
    assert_eq!((code, out.as_str()), (Some(0), "config.toml: not there; the defaults are in force\n"));
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
