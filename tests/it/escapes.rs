//! Text from outside in logs and on terminals: whatever an image, a request or a path holds, messages show it escaped, and in a number
//! of lines that nobody outside chooses.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::scratch::Scratch;

/// Escape sequences of terminals, forged lines, C1, DEL, overrides of direction, isolates, separators.
const HOSTILE: &str = "\u{1b}]0;x\u{7}\r\nforged\u{7f}\u{9b}31m\u{202e}\u{2066}\u{200f}\u{2028}\u{2029}";

fn node(policy: &str) -> Scratch {
    let scratch = Scratch::new();
    let device = json!({"cdiVersion": "0.5.0", "kind": "nvidia.com/gpu", "devices": [{"name": "0", "containerEdits": {"env": ["GOT=it"]}}]});
    scratch.write("cdi/nvidia.json", &device.to_string());
    scratch.write(
        "gpu-runc.toml",
        &format!(
            "runtimes = [\"/bin/true\"]\n[log]\nsyslog = false\nfile = {:?}\n[cdi]\nspec-dirs = [{:?}]\n[inject]\ngenerate = \"never\"\n{policy}",
            scratch.path("log"),
            scratch.path("cdi")
        ),
    );
    scratch
}

/// Starts a container whose bundle is `bundle`, with both forms of the engine's log.
fn start(scratch: &Scratch, bundle: &OsStr, config: &str) -> (Output, String) {
    let bundle = scratch.path("").join(bundle);
    fs::create_dir_all(&bundle).unwrap();
    fs::write(bundle.join("config.json"), config).unwrap();
    let mut said = String::new();
    let mut last = None;
    for format in ["json", "text"] {
        let log = scratch.path(&format!("engine.{format}"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_gpu-runc"));
        command.args(["--log".as_ref(), log.as_os_str(), "--log-format".as_ref(), format.as_ref()]);
        command.args(["create".as_ref(), "--bundle".as_ref(), bundle.as_os_str(), OsStr::new("c\u{1b}[2J\u{202e}")]);
        let output = command.env("GPU_RUNC_CONFIG", scratch.path("gpu-runc.toml")).output().unwrap();
        said += &String::from_utf8_lossy(&output.stderr);
        said += &fs::read(&log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
        last = Some(output);
    }
    (last.unwrap(), said + &scratch.read("log"))
}

/// Fails if `said` has anything of [`HOSTILE`] raw, a forged line, or bytes that are not text.
fn assert_escaped(what: &str, said: &str) {
    let raw = |c: char| (c.is_control() && c != '\n') || (HOSTILE.contains(c) && !c.is_ascii()) || c == '\u{fffd}';
    assert!(!said.contains(raw), "{what}: {said:?}");
    assert!(!said.lines().any(|line| line.starts_with("forged")), "{what}: {said}");
}

#[test]
fn no_path_name_or_value_from_outside_reaches_a_log_or_stderr_raw() {
    let asking = |value: &str, root: &str| {
        json!({"ociVersion": "1.0.2", "process": {"env": [format!("NVIDIA_VISIBLE_DEVICES={value}")]}, "root": {"path": root}, "linux": {}})
            .to_string()
    };
    let bundle = OsString::from_vec([HOSTILE.as_bytes(), b"\xff"].concat());
    let plain = OsStr::new("bundle");
    for (what, bundle, config, expected) in [
        ("a bundle with a hostile name", bundle.as_os_str(), "{".to_owned(), Some("\\u{1b}]0;x\\u{7}\\r\\nforged")),
        (
            "a device with a hostile name",
            plain,
            asking(HOSTILE, "rootfs"),
            Some("\\u{202e}\\u{2066}\\u{200f}\\u{2028}"),
        ),
        ("a rootfs with a hostile name", plain, asking("0", HOSTILE), None),
        ("a rootfs that is not text", bundle.as_os_str(), asking("0", "rootfs"), None),
    ] {
        let scratch = node("");
        let (_, said) = start(&scratch, bundle, &config);
        assert_escaped(what, &said);
        assert!(expected.is_none_or(|expected| said.contains(expected)), "{what}: {said}");
        assert!(said.contains("container=c\\u{1b}[2J\\u{202e} "), "{what}: {said}");
    }
}

#[test]
fn no_directory_of_an_image_reaches_a_log_raw() {
    for place in ["usr/local/cuda/compat", "etc/ld.so.conf.d", "usr/lib64", "etc"] {
        let scratch = node("");
        scratch.write("driver/libcuda.so.550.54.15", "a library");
        let hook = |args: &[&str]| json!({"hookName": "createContainer", "path": "/usr/bin/nvidia-cdi-hook", "args": ([&["nvidia-cdi-hook"], args].concat())});
        let device = json!({
            "cdiVersion": "0.5.0", "kind": "nvidia.com/gpu",
            "devices": [{"name": "0", "containerEdits": {"env": ["A=b"]}}],
            "containerEdits": {"hooks": [
                hook(&["create-symlinks", "--link", "libcuda.so.550.54.15::/usr/lib64/libcuda.so.1"]),
                hook(&["update-ldcache", "--folder", "/usr/lib64"]),
                hook(&["enable-cuda-compat", "--host-driver-version=550.54.15"]),
            ]},
        });
        scratch.write("cdi/nvidia.json", &device.to_string());
        // The image's directory of that name holds what it may not hold, and the place is a link to it.
        let hostile = scratch.path("bundle/rootfs/opt").join(HOSTILE);
        fs::create_dir_all(hostile.join("libcuda.so.999.1/x")).unwrap();
        fs::create_dir_all(hostile.join("libcuda.so.1/x")).unwrap();
        fs::create_dir_all(hostile.join("00-gpu-runc.conf/x")).unwrap();
        fs::create_dir_all(hostile.join("ld.so.cache/x")).unwrap();
        let place = scratch.path("bundle/rootfs").join(place);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        symlink(Path::new("/opt").join(HOSTILE), &place).unwrap();
        let config = json!({"ociVersion": "1.0.2", "process": {"env": ["NVIDIA_VISIBLE_DEVICES=0"]}, "root": {"path": "rootfs"}, "linux": {}});
        let (output, said) = start(&scratch, OsStr::new("bundle"), &config.to_string());
        assert!(output.status.success(), "{said}");
        assert_escaped(&place.display().to_string(), &said);
    }
}

#[test]
fn gpu_ctk_shows_names_from_outside_escaped() {
    let scratch = node("");
    let file = scratch.path("").join(OsStr::from_bytes(&[HOSTILE.as_bytes(), b"\xff.json"].concat()));
    fs::write(&file, "{").unwrap();
    let config = json!({"annotations": {"cdi.k8s.io/a": format!("nvidia.com/gpu={HOSTILE}")}, "ociVersion": "1.0.2",
        "process": {"env": [format!("NVIDIA_VISIBLE_DEVICES={HOSTILE}"), format!("A={HOSTILE}")]}, "root": {"path": HOSTILE}, "linux": {}});
    scratch.write("bundle/config.json", &config.to_string());
    let bundle = scratch.path("bundle");
    let absent = file.join("absent");
    let rows: [&[&OsStr]; 8] = [
        &["cdi".as_ref(), "validate".as_ref(), file.as_ref()],
        &["cdi".as_ref(), "validate".as_ref(), "--json".as_ref(), file.as_ref()],
        &["cdi".as_ref(), "resolve".as_ref(), HOSTILE.as_ref()],
        &["cdi".as_ref(), "list".as_ref(), "--spec-dir".as_ref(), absent.as_ref()],
        &["config".as_ref(), "check".as_ref(), file.as_ref()],
        &["compose".as_ref(), file.as_ref()],
        &["explain".as_ref(), "--bundle".as_ref(), bundle.as_ref()],
        &["explain".as_ref(), "--json".as_ref(), "--bundle".as_ref(), bundle.as_ref()],
    ];
    for args in rows {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gpu-ctk"));
        let output = command.args(args).env("GPU_RUNC_CONFIG", scratch.path("gpu-runc.toml")).output().unwrap();
        let [out, error] = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        assert!(!out.is_empty() || !error.is_empty(), "{args:?}");
        assert_escaped(&format!("{args:?}, stderr"), &error);
        // JSON has no form for bytes that are not text.
        let is_json = args.contains(&OsStr::new("--json"));
        assert_escaped(&format!("{args:?}, stdout"), &if is_json { out.replace('\u{fffd}', "?") } else { out.clone() });
        assert!(!is_json || serde_json::from_str::<Value>(&out).is_ok(), "{out}");
    }
}

#[test]
fn files_whose_names_are_not_text_are_listed() {
    let scratch = node("");
    let good = scratch.read("cdi/nvidia.json");
    fs::remove_file(scratch.path("cdi/nvidia.json")).unwrap();
    for name in [&b"good\xff.json"[..], b"bad\xff.json"] {
        let text = if name.starts_with(b"good") { good.as_str() } else { "{" };
        fs::write(scratch.path("cdi").join(OsStr::from_bytes(name)), text).unwrap();
    }
    for args in [&["cdi", "list", "--json"][..], &["cdi", "list", "--verbose"], &["cdi", "validate", "--json"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gpu-ctk"));
        let output = command.args(args).env("GPU_RUNC_CONFIG", scratch.path("gpu-runc.toml")).output().unwrap();
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(out.contains("good"), "{args:?}: {out}{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn what_repeats_writes_few_lines_a_start() {
    let annotations = |value: &str| -> Value {
        (0..4_000)
            .map(|number| (format!("cdi.k8s.io/a{number}"), value.into()))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    for (policy, most, last) in
        [("[policy]\nannotations = false\n", 40, " and 3992 more: "), ("", 40, "asked by annotation")]
    {
        let scratch = node(policy);
        let config = json!({"ociVersion": "1.0.2", "annotations": annotations("nvidia.com/gpu=0"), "process": {}, "root": {"path": "rootfs"}, "linux": {}});
        start(&scratch, OsStr::new("bundle"), &config.to_string());
        let log = scratch.read("log");
        // Two starts.
        assert!((1..=2 * most).contains(&log.lines().count()), "{policy}: {} lines", log.lines().count());
        let ends = log.lines().filter(|line| line.contains(last)).count();
        assert!(ends >= 2, "{policy}: {log}");
    }
}
