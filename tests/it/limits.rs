//! Files that are made to cost: the programs come to an end with little memory and little time, and say what is wrong.
//!
//! A debug build gets ten times what it takes. `ulimit` ends what goes beyond: by a signal, which no row expects.

use std::fs::{self, File};
use std::process::{Command, Output};

use gpu_runc::ldcache::{Cache, Library, Processors};
use serde_json::json;

use crate::scratch::Scratch;

const GPU_RUNC: &str = env!("CARGO_BIN_EXE_gpu-runc");
const CTK: &str = env!("CARGO_BIN_EXE_gpu-ctk");
const MIB: usize = 1 << 20;
/// More levels than any stack has room for.
const DEEP: usize = 200_000;
const DEVICE: &str =
    r#"{"cdiVersion":"0.5.0","kind":"nvidia.com/gpu","devices":[{"name":"0","containerEdits":{"env":["GOT=it"]}}]}"#;

/// Runs a program with so much address space and twenty seconds of processor time.
fn limited(scratch: &Scratch, mebibytes: usize, program: &str, args: &[&str]) -> Output {
    let limits = format!("ulimit -v {} && ulimit -t 20 && exec \"$@\"", mebibytes << 10);
    let mut command = Command::new("sh");
    command.args(["-c", &limits, "sh", program]).args(args).current_dir(scratch.path(""));
    command.env("GPU_RUNC_CONFIG", scratch.path("gpu-runc.toml")).output().unwrap()
}

fn machine() -> Scratch {
    let scratch = Scratch::new();
    let dirs = scratch.text("cdi");
    scratch.write(
        "gpu-runc.toml",
        &format!(
            "runtimes = [\"/bin/true\"]\n[log]\nsyslog = false\n[cdi]\nspec-dirs = [{dirs:?}]\n[inject]\ngenerate = \"never\"\n"
        ),
    );
    scratch.write("cdi/nvidia.json", DEVICE);
    scratch
}

fn deep(open: &str, close: &str, levels: usize) -> String {
    open.repeat(levels) + &close.repeat(levels)
}

/// Aliases of aliases: a few lines that stand for more than memory holds.
fn bomb(first: &str) -> String {
    let mut text = format!("{first}a0: &a0 [x, x]\n");
    for level in 1..40 {
        text.push_str(&format!("a{level}: &a{level} [{}]\n", vec![format!("*a{}", level - 1); 8].join(", ")));
    }
    text
}

/// Mounts whose options are a list of `length` texts: a hundred and fifty lists that are written, and `aliases` more that are aliases of
/// these. Nothing that a CDI file may not say; one that has fewer anchors is refused for that alone.
fn mounts(aliases: usize, length: usize) -> String {
    const WRITTEN: usize = 150;
    let list = vec!["ro"; length].join(", ");
    let mount = |number: usize, options: String| {
        format!("    - {{hostPath: /dev/null, containerPath: /m{number}, options: {options}}}\n")
    };
    let written = (0..WRITTEN).map(|number| mount(number, format!("&o{number} [{list}]")));
    let borrowed = (0..aliases).map(|number| mount(WRITTEN + number, format!("*o{}", number % WRITTEN)));
    written.chain(borrowed).collect()
}

#[test]
fn a_start_costs_no_more_than_its_configuration_is_large() {
    let asked = |value: &str| format!(r#"{{"process":{{"env":["NVIDIA_VISIBLE_DEVICES={value}"]}}}}"#);
    for (what, config, mebibytes, outcome) in [
        (
            "a variable of 100 MB beside a request",
            format!(r#"{{"process":{{"env":["NVIDIA_VISIBLE_DEVICES=0","A={}"]}}}}"#, "x".repeat(100 * MIB)),
            700,
            Ok("GOT=it"),
        ),
        (
            "levels without end",
            format!(r#"{{"process":{{"env":["NVIDIA_VISIBLE_DEVICES=0"]}},"x":{}}}"#, deep("[", "]", DEEP)),
            100,
            Ok("GOT=it"),
        ),
        (
            "levels of something that is read",
            format!(r#"{{"annotations":{}}}"#, deep("{\"a\":", "}", DEEP)),
            100,
            Err("not valid JSON"),
        ),
        (
            "mounts by the thousand",
            format!(r#"{{"mounts":[{}{{}}]}}"#, r#"{"destination":"/a"},"#.repeat(20_000)),
            200,
            Ok(""),
        ),
        ("a list of a megabyte", asked(&",".repeat(MIB)), 100, Err("longer than 64 KiB")),
        ("a range of all numbers", asked("0-4294967295"), 100, Err("more than 1024 devices")),
        ("many ranges", asked(&"0-1023,".repeat(1000)), 100, Err("and 959 more")),
        (
            "ranges of millions",
            asked(
                &(0..6000).map(|step| format!("{}-{},", step << 10, (step << 10) + 1023)).collect::<String>()[..60_000],
            ),
            100,
            Err("more than 1024 devices"),
        ),
        (
            "a billion devices",
            r#"{"annotations":{"gpu-runc/gpus":"1000000000"}}"#.to_owned(),
            100,
            Err("more than 1024 devices"),
        ),
        (
            "requests by the thousand",
            format!(r#"{{"annotations":{{"gpu-runc/gpus":"[{}{{}}]"}}}}"#, "{},".repeat(20_000)),
            100,
            Err("more than 64 device requests"),
        ),
        (
            "many counts",
            format!(r#"{{"annotations":{{"gpu-runc/gpus":"[{}{{}}]"}}}}"#, r#"{\"count\":1024},"#.repeat(60)),
            100,
            Err("more than 1024 devices"),
        ),
        (
            "a thousand devices of a request that is long",
            format!(r#"{{"annotations":{{"gpu-runc/gpus":"[{}{{\"count\":1024}}]"}}}}"#, " ".repeat(60_000)),
            100,
            Err("unresolvable CDI devices"),
        ),
        (
            "levels in a request",
            format!(r#"{{"annotations":{{"gpu-runc/gpus":"{}"}}}}"#, deep("[", "]", 30_000)),
            100,
            Err("gpu-runc/gpus"),
        ),
    ] {
        let scratch = machine();
        scratch.write("config.json", &config);
        let output = limited(&scratch, mebibytes, GPU_RUNC, &["create", "c"]);
        let (after, said) = (scratch.read("config.json"), String::from_utf8_lossy(&output.stderr));
        match outcome {
            Ok("") => assert!(output.status.success() && after == config, "{what}: {:?} {said}", output.status),
            Ok(part) => assert!(output.status.success() && after.contains(part), "{what}: {:?} {said}", output.status),
            Err(part) => {
                assert!(output.status.code() == Some(1) && said.contains(part), "{what}: {:?} {said}", output.status);
                assert!(said.len() < 64 * 1024 && after == config, "{what}: {} bytes", said.len());
            }
        }
    }
}

#[test]
fn an_endless_configuration_is_not_read() {
    let scratch = machine();
    File::create(scratch.path("config.json")).unwrap().set_len(300 << 20).unwrap();
    let output = limited(&scratch, 100, GPU_RUNC, &["create", "c"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("larger than 256 MiB"), "{output:?}");
}

#[test]
fn cdi_files_that_are_made_to_cost_take_nothing_from_a_good_one() {
    let scratch = machine();
    scratch.write("config.json", r#"{"process":{"env":["NVIDIA_VISIBLE_DEVICES=0"]}}"#);
    let header = "cdiVersion: 0.3.0\nkind: nvidia.com/gpu\ndevices:\n";
    scratch.write("cdi/bomb.yaml", &bomb(header));
    // Of the device that is asked for: whoever took these for good would have two files that describe it.
    let device = "cdiVersion: 0.5.0\nkind: nvidia.com/gpu\ndevices:\n- name: \"0\"\n  containerEdits:\n    mounts:\n";
    scratch.write("cdi/nodes.yaml", &(device.to_owned() + &mounts(900, 600)));
    scratch.write("cdi/aliases.yaml", &(device.to_owned() + &mounts(1001, 1)));
    scratch.write("cdi/deep.yaml", &format!("{header}- name: {}\n", deep("[", "]", DEEP)));
    scratch.write("cdi/steps.yaml", &format!("{header}{}x: y\n", "- ".repeat(DEEP)));
    scratch.write("cdi/deep.json", &format!(r#"{{"cdiVersion":"0.3.0","devices":{}}}"#, deep("[", "]", DEEP)));
    scratch.write("cdi/long.yaml", &format!("{header}- name: {}\n", "x".repeat(3 * MIB)));
    scratch.write("cdi/huge.json", &format!("cdiVersion: {}\n", "x".repeat(100 * MIB)));
    let output = limited(&scratch, 200, GPU_RUNC, &["create", "c"]);
    assert!(output.status.success() && scratch.read("config.json").contains("GOT=it"), "{output:?}");
    for (name, part) in [
        ("bomb.yaml", "unknown field"),
        // The lines with the node 500,001 and the alias 1,001: no other bound is reached there.
        ("nodes.yaml", "cdi/nodes.yaml:830: "),
        ("aliases.yaml", "cdi/aliases.yaml:1157: "),
        ("deep.yaml", "cdi/deep.yaml"),
        ("steps.yaml", "cdi/steps.yaml"),
        ("deep.json", "cdi/deep.json"),
        ("long.yaml", "cdi/long.yaml"),
        ("huge.json", "larger than 8 MiB"),
    ] {
        let output = limited(&scratch, 300, CTK, &["cdi", "validate", &format!("cdi/{name}")]);
        let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
        assert!(output.status.code() == Some(1) && said.contains(part), "{name}: {:?} {said}", output.status);
        assert!(said.len() < 16 * 1024, "{name}: {} bytes", said.len());
    }
}

#[test]
fn files_that_a_person_names_are_read_within_bounds() {
    let scratch = machine();
    scratch.write("bomb.yaml", &bomb("services: {a: {gpus: all}}\n"));
    let aliases: String = (0..1001).map(|number| format!("y{number}: *x{}\n", number % 150)).collect();
    let anchors: String = (0..150).map(|number| format!("x{number}: &x{number} [x]\n")).collect();
    scratch.write("aliases.yaml", &format!("services: {{a: {{gpus: all}}}}\n{anchors}{aliases}"));
    scratch.write("deep.yaml", &format!("services: {}\n", deep("[", "]", DEEP)));
    scratch.write("deep.toml", &format!("runtimes = {}\n", deep("[", "]", DEEP)));
    scratch.write("deep.json", &format!("{{\"runtimes\": {}}}\n", deep("{\"a\":", "}", DEEP)));
    scratch.write("tables.toml", &format!("[{}a]\n", "a.".repeat(DEEP)));
    for args in [
        ["compose", "deep.yaml"].as_slice(),
        &["compose", "/dev/zero"],
        &["config", "check", "deep.toml"],
        &["config", "check", "tables.toml"],
        &["config", "check", "/dev/zero"],
        &["config", "import", "deep.toml"],
        &["config", "import", "tables.toml"],
        &["runtime", "configure", "--dry-run", "--runtime-path", "/x", "--engine", "docker", "--config", "deep.json"],
        &["runtime", "configure", "--dry-run", "--runtime-path", "/x", "--engine", "docker", "--config", "/dev/zero"],
        &["runtime", "configure", "--unconfigure", "--dry-run", "--engine", "containerd", "--config", "deep.toml"],
        &["runtime", "configure", "--unconfigure", "--dry-run", "--engine", "containerd", "--config", "tables.toml"],
    ] {
        let output = limited(&scratch, 300, CTK, args);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(1) && said.len() < 4096, "{args:?}: {:?} {said}", output.status);
    }
    for (name, part) in [("bomb.yaml", "Nodes { nodes: 500001 }"), ("aliases.yaml", "Aliases { aliases: 1001 }")] {
        let output = limited(&scratch, 300, CTK, &["compose", name]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(1) && said.contains(part), "{name}: {:?} {said}", output.status);
    }
}

#[test]
fn compose_files_of_many_services_cost_what_they_are_long() {
    let services = |count: usize, service: &dyn Fn(usize) -> String| {
        let services: String = (0..count).map(service).collect();
        format!("services:\n  base: {{gpus: all}}\n{services}")
    };
    for (what, count, whole_too, service) in [
        ("services", 60_000, 40_000, &(|n| format!("  s{n}:\n    gpus: all\n")) as &dyn Fn(usize) -> String),
        ("services that extend one", 60_000, 40_000, &|n| format!("  s{n}:\n    extends: base\n")),
        ("services of other files", 60_000, 40_000, &|n| format!("  s{n}: {{extends: {{file: f, service: s}}}}\n")),
    ] {
        let scratch = machine();
        for (args, count) in [(&["compose", "c.yaml"][..], count), (&["compose", "--whole", "c.yaml"], whole_too)] {
            scratch.write("c.yaml", &services(count, service));
            let output = limited(&scratch, 700, CTK, args);
            let said = String::from_utf8_lossy(&output.stderr).chars().take(300).collect::<String>();
            assert!(output.status.success(), "{what}, {args:?}: {:?} {said}", output.status);
        }
    }
    for (what, count, service, part) in [
        (
            "each extends the one before",
            30_000,
            &(|n: usize| match n {
                0 => "  s0: {gpus: all}\n".to_owned(),
                n => format!("  s{n}: {{gpus: all, extends: s{}}}\n", n - 1),
            }) as &dyn Fn(usize) -> String,
            "more than 64 services extend one another",
        ),
        (
            "each extends one of many",
            30_000,
            &|n| match n {
                0 => format!("  s0: {{gpus: [{}]}}\n", "{count: 1}, ".repeat(60)),
                n => format!("  s{n}: {{extends: s0}}\n"),
            },
            "reserve more than 200000 devices",
        ),
    ] {
        let scratch = machine();
        scratch.write("c.yaml", &services(count, service));
        let output = limited(&scratch, 500, CTK, &["compose", "c.yaml"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(1) && said.contains(part), "{what}: {:?} {said}", output.status);
    }
}

#[test]
fn a_fifo_that_nobody_writes_to_is_refused_and_a_pipe_is_read() {
    let scratch = machine();
    assert!(Command::new("mkfifo").arg(scratch.path("fifo")).status().unwrap().success());
    let run = |script: &str| {
        let mut command = Command::new("timeout");
        command.args(["20", "bash", "-c", script, CTK]).current_dir(scratch.path(""));
        let output = command.env("GPU_RUNC_CONFIG", scratch.path("gpu-runc.toml")).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout) + &text(&output.stderr))
    };
    for args in ["cdi validate fifo", "config check fifo", "config import fifo", "compose fifo", "compose --whole fifo"]
    {
        let (code, said) = run(&format!("\"$0\" {args}"));
        assert!(code == Some(1) && said.contains("fifo") && said.contains("it is not a plain file"), "{args}: {said}");
    }
    let (code, said) = run("GPU_RUNC_CONFIG=$PWD/fifo \"$0\" cdi list");
    assert!(code == Some(1) && said.contains("it is not a plain file"), "{said}");
    for (script, part) in [
        ("echo 'services: {a: {gpus: all}}' | \"$0\" compose /dev/stdin", "gpu-runc/gpus: 'all'"),
        ("\"$0\" compose <(echo 'services: {a: {gpus: all}}')", "gpu-runc/gpus: 'all'"),
        ("cat cdi/nvidia.json | \"$0\" cdi validate /dev/stdin", "valid: nvidia.com/gpu"),
        ("echo | \"$0\" config import /dev/stdin", "# from /dev/stdin"),
    ] {
        let (code, said) = run(script);
        assert!(code == Some(0) && said.contains(part), "{script}: {code:?} {said}");
    }
}

/// As large as is read of an image, and every entry for another made-up processor.
#[test]
fn a_cache_of_an_image_costs_no_more_than_it_is_large() {
    let begun = std::time::Instant::now();
    let names: Vec<String> = (0..200_000).map(|number| format!("{number:x}")).collect();
    let mut cache = Cache::default();
    cache.libraries = names
        .iter()
        .map(|name| Library {
            processors: Processors::Named(name.into()),
            ..Library::new(0x0303, "libx.so.1", "/libx.so.1")
        })
        .collect();
    let bytes = cache.to_bytes();
    assert!(bytes.len() < 16 * MIB);
    let read = Cache::parse(&bytes).unwrap();
    assert_eq!(read.to_bytes(), bytes);
    assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
}

/// As many as a folder may have, of which one for one is new: to hold each against all takes minutes.
#[test]
fn libraries_by_the_thousand_are_added_as_fast_as_few() {
    const MANY: usize = 65_000;
    // Of this thread alone, however busy the machine is; the first number is in nanoseconds.
    let spent = || fs::read_to_string("/proc/thread-self/schedstat").unwrap().split(' ').next().unwrap().parse::<u64>();
    let begun = spent().unwrap();
    let libraries = |folder: &str| -> Vec<Library<'static>> {
        let named = |number: usize| (format!("lib{number}.so.1"), format!("/{folder}/lib{number}.so.1"));
        (0..MANY).map(named).map(|(name, path)| Library::new(0x0303, name, path)).collect()
    };
    let mut cache = Cache::default();
    assert!(cache.merge(libraries("a")) && cache.libraries.len() == MANY);
    assert!(!cache.merge(libraries("a")), "once more changes nothing");
    assert!(cache.merge([libraries("b"), libraries("a")].concat()) && cache.libraries.len() == 2 * MANY);
    let seconds = (spent().unwrap() - begun) / 1_000_000_000;
    assert!(seconds < 8, "{seconds}");
}

/// The smallest library of 64 bits that has a name, with room for more.
fn library(name: &str) -> Vec<u8> {
    let word = |number: u64| number.to_le_bytes();
    let mut bytes = [&b"\x7fELF\x02\x01"[..], &[0; 58]].concat();
    bytes[32] = 64;
    bytes[54..58].copy_from_slice(&[56, 0, 2, 0]);
    // A segment that is loaded, the dynamic one, and in it where the texts are and which of them is the name.
    for [kind, offset, size] in [[1, 0, 4096], [2, 176, 48]] {
        bytes.extend([kind, offset, offset, 0, size, size, 0].map(word).concat());
    }
    bytes.extend([5, 224, 14, 1, 0, 0].map(word).concat());
    bytes.extend([&[0], name.as_bytes(), &[0; 300]].concat());
    bytes
}

#[test]
fn an_images_folder_of_libraries_costs_no_more_than_a_real_one() {
    for (count, is_taken) in [(200, true), (20_000, false)] {
        let scratch = machine();
        let from = scratch.write("driver/libcuda.so.550.54.15", "a library");
        let hook = json!({"hookName": "createContainer", "path": "/usr/bin/nvidia-cdi-hook", "args": ["nvidia-cdi-hook", "enable-cuda-compat", "--host-driver-version=550.54.15"]});
        let mount =
            json!({"hostPath": from, "containerPath": "/usr/lib64/libcuda.so.550.54.15", "options": ["ro", "rbind"]});
        let edits = json!({"mounts": [mount], "hooks": [hook]});
        let device = json!({"name": "0", "containerEdits": {"env": ["GOT=it"]}});
        let spec =
            json!({"cdiVersion": "0.5.0", "kind": "nvidia.com/gpu", "devices": [device], "containerEdits": edits});
        scratch.write("cdi/nvidia.json", &spec.to_string());
        let log = scratch.text("log");
        scratch
            .write("gpu-runc.toml", &scratch.read("gpu-runc.toml").replace("[log]", &format!("[log]\nfile = {log:?}")));
        scratch.write("config.json", r#"{"process":{"env":["NVIDIA_VISIBLE_DEVICES=0"]},"root":{"path":"rootfs"}}"#);
        scratch.write("rootfs/lib64/ld-linux-x86-64.so.2", "");
        let compat = scratch.path("rootfs/usr/local/cuda/compat");
        fs::create_dir_all(&compat).unwrap();
        fs::write(compat.join("libcuda.so.999.1"), library("libcuda.so.1")).unwrap();
        for number in 0..count {
            fs::write(
                compat.join(format!("libnvidia-{number:040}.so.1")),
                library(&format!("libnvidia-{number}.so.1")),
            )
            .unwrap();
        }
        let output = limited(&scratch, 100, GPU_RUNC, &["create", "c"]);
        assert!(output.status.success() && scratch.read("config.json").contains("GOT=it"), "{output:?}");
        let bytes = fs::read(scratch.path("rootfs/etc/ld.so.cache")).unwrap();
        let found = Cache::parse(&bytes).unwrap().libraries;
        let of_image = found.iter().filter(|library| library.path.starts_with("/usr/local/cuda/compat/")).count();
        assert_eq!(of_image, if is_taken { count + 1 } else { 0 }, "{count}");
        assert!(found.iter().any(|library| library.path.starts_with("/usr/lib64/")), "{count}: {found:?}");
        let said = scratch.read("log");
        assert_eq!(said.contains("it has more than 256 entries of the kind"), !is_taken, "{count}: {said}");
    }
}
