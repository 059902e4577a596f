//! packaging/doc/troubleshooting.md, held against the table that it is made from; `BLESS=1` writes it anew.

use std::fs;
use std::path::Path;
use std::process::Command;

use gpu_runc::messages::{MESSAGES, page};

#[test]
fn the_page_is_made_from_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/doc/troubleshooting.md");
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, page()).unwrap();
    }
    assert_eq!(fs::read_to_string(path).unwrap_or_default(), page(), "BLESS=1 cargo test --test it troubleshooting");
}

#[test]
fn a_message_is_explained_with_its_cause_and_a_command() {
    let ctk = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_gpu-ctk"))
            .env("GPU_RUNC_CONFIG", "/dev/null")
            .args(args)
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let (code, out, err) = ctk(&["explain", "--error", "docker: Error response from daemon: AMD CDI spec not found"]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let fix = "  fix: sudo gpu-ctk runtime configure --engine docker --gpus --restart systemd\n";
    assert!(out.starts_with("AMD CDI spec not found (printed by Docker 29)\n  cause: ") && out.ends_with(fix), "{out}");
    let (code, out, _) = ctk(&["explain", "--json", "--error", MESSAGES[0].says[0]]);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, json["by"].as_str()), (Some(0), Some("Docker 29")));
    let (code, out, err) = ctk(&["explain", "--error", "all is well"]);
    assert!(code == Some(1) && out.is_empty() && err.contains("no message that is known"), "{err}");
    let (code, _, err) = ctk(&["explain", "--error", "x", "--env", "A=b"]);
    assert!(code == Some(2) && err.contains("cannot be used with"), "{err}");
}
