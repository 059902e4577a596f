//! Golden bundles: every folder of tests/bundles is one container.
//!
//! `config.json` and the CDI files in `cdi/` go in, `expected.json` or `expected.error` (a part of the message) comes out; a
//! case with neither must leave the file alone. `gpu-runc.toml` adds to the configuration; the machine that the
//! tests run on adds nothing, not even what other tests hold meanwhile. `BLESS=1` writes expected.json anew.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Output};

fn start(bundle: &Path, config: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gpu-runc"))
        .env("GPU_RUNC_CONFIG", config)
        .args(["--log-format", "json", "--log"])
        .arg(bundle.join("log.json"))
        .args(["create", "--bundle"])
        .arg(bundle)
        .arg("golden")
        .output()
        .unwrap()
}

fn check(case: &Path) -> Result<(), String> {
    let scratch = tempfile::tempdir().unwrap();
    let bundle = scratch.path();
    let (config_json, dirs) = (bundle.join("config.json"), bundle.join("cdi"));
    fs::create_dir(&dirs).unwrap();
    fs::copy(case.join("config.json"), &config_json).unwrap();
    for file in fs::read_dir(case.join("cdi")).into_iter().flatten() {
        let file = file.unwrap();
        fs::write(dirs.join(file.file_name()), fs::read(file.path()).unwrap()).unwrap();
    }
    let config = bundle.join("gpu-runc.toml");
    let extra = fs::read_to_string(case.join("gpu-runc.toml")).unwrap_or_default();
    let base = format!(
        "runtimes = [\"/bin/true\"]\n[log]\nsyslog = false\n[cdi]\nspec-dirs = [{dirs:?}]\n[inject]\ngenerate = \"never\"\npick = \"first\"\n"
    );
    fs::write(&config, base + &extra).unwrap();

    let before = (fs::read(&config_json).unwrap(), fs::metadata(&config_json).unwrap());
    let output = start(bundle, &config);
    let after = (fs::read(&config_json).unwrap(), fs::metadata(&config_json).unwrap());
    let untouched =
        before.0 == after.0 && before.1.ino() == after.1.ino() && before.1.mtime_nsec() == after.1.mtime_nsec();
    let stderr = String::from_utf8(output.stderr).unwrap();

    if let Ok(expected) = fs::read_to_string(case.join("expected.error")) {
        let log = fs::read_to_string(bundle.join("log.json")).unwrap_or_default();
        return match () {
            () if output.status.code() != Some(1) => Err(format!("exit status {:?}, not 1", output.status)),
            () if !stderr.contains(expected.trim()) => Err(format!("stderr says {stderr}")),
            () if stderr.lines().count() != 1 || log.lines().count() != 1 => {
                Err(format!("not one line: {stderr}{log}"))
            }
            () if !untouched => Err("config.json was touched".to_owned()),
            () => Ok(()),
        };
    }
    if !output.status.success() || !stderr.is_empty() || !output.stdout.is_empty() || bundle.join("log.json").exists() {
        return Err(format!("should have succeeded in silence: {stderr}"));
    }
    let wanted = case.join("expected.json");
    if std::env::var_os("BLESS").is_some() && !untouched {
        fs::write(&wanted, &after.0).unwrap();
    }
    match fs::read(&wanted) {
        Ok(expected) if expected != after.0 => return Err(format!("became\n{}", String::from_utf8_lossy(&after.0))),
        Err(_) if !untouched => return Err(format!("was touched:\n{}", String::from_utf8_lossy(&after.0))),
        _ => {}
    }
    let again = start(bundle, &config);
    match again.status.success() && fs::read(&config_json).unwrap() == after.0 {
        true => Ok(()),
        false => Err("applying twice differs from applying once".to_owned()),
    }
}

#[test]
fn every_bundle_becomes_what_is_expected() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bundles");
    let mut cases: Vec<_> = fs::read_dir(folder).unwrap().map(|case| case.unwrap().path()).collect();
    cases.sort();
    let failures: Vec<_> = cases
        .iter()
        .filter_map(|case| Some(format!("{}: {}", case.file_name()?.display(), check(case).err()?)))
        .collect();
    assert!(cases.len() > 20, "the cases are there");
    assert!(failures.is_empty(), "{} of {} bundles:\n{}", failures.len(), cases.len(), failures.join("\n"));
}
