//! Files of NVIDIA's toolkit, and what each comes to.

use super::*;

/// What the toolkit 1.20 prints as its default file.
const DEFAULT: &str = r#"
#accept-nvidia-visible-devices-as-volume-mounts = false
#accept-nvidia-visible-devices-envvar-when-unprivileged = true
disable-require = false
supported-driver-capabilities = "compat32,compute,display,graphics,ngx,utility,video"
#swarm-resource = "DOCKER_RESOURCE_GPU"

[nvidia-container-cli]
#debug = "/var/log/nvidia-container-toolkit.log"
environment = []
#ldcache = "/etc/ld.so.cache"
ldconfig = "@/sbin/ldconfig"
load-kmods = true
#no-cgroups = false
#path = "/usr/bin/nvidia-container-cli"
#root = "/run/nvidia/driver"
#user = "root:video"

[nvidia-container-runtime]
#debug = "/var/log/nvidia-container-runtime.log"
log-level = "info"
mode = "auto"
runtimes = ["runc", "crun"]

[nvidia-container-runtime.modes]

[nvidia-container-runtime.modes.cdi]
annotation-prefixes = ["cdi.k8s.io/"]
default-kind = "nvidia.com/gpu"
spec-dirs = ["/etc/cdi", "/var/run/cdi"]

[nvidia-container-runtime.modes.csv]
mount-spec-path = "/etc/nvidia-container-runtime/host-files-for-container.d"

[nvidia-container-runtime.modes.legacy]
cuda-compat-mode = "ldconfig"

[nvidia-container-runtime-hook]
path = "nvidia-container-runtime-hook"
skip-mode-detection = false

[nvidia-ctk]
path = "nvidia-ctk"
"#;

fn imported(text: &str) -> Imported {
    import(text, Path::new("n.toml")).unwrap()
}

#[test]
fn the_default_file_comes_to_our_defaults_but_for_mounts() {
    let Imported { config, notes } = imported(DEFAULT);
    let mut expected = Config::default();
    expected.policy.mounts = false;
    assert_eq!(config, expected);
    let keys: Vec<_> = notes.iter().map(|note| note.split(' ').nth(1).unwrap_or_default()).collect();
    let left = [
        "nvidia-container-cli.load-kmods",
        "nvidia-container-runtime-hook.path",
        "nvidia-container-runtime-hook.skip-mode-detection",
        "nvidia-ctk.path",
        MOUNTS,
        ENV,
    ];
    assert_eq!(keys, left);
    assert!(notes[0].starts_with("n.toml:13: nvidia-container-cli.load-kmods is not carried over: no kernel modules"));
}

#[test]
fn every_key_with_a_counterpart_is_carried_over() {
    let text = r#"
        accept-nvidia-visible-devices-envvar-when-unprivileged = false
        accept-nvidia-visible-devices-as-volume-mounts = true
        nvidia-container-cli.root = "/run/nvidia/driver"
        [nvidia-container-runtime]
        debug = "/var/log/x.log"
        log-level = "warning"
        runtimes = ["/opt/runc"]
        mode = "cdi"
        modes.cdi.spec-dirs = ["/opt/cdi"]
        modes.cdi.annotation-prefixes = ["nvidia.cdi.k8s.io/"]
    "#;
    let Imported { config, notes } = imported(text);
    let mut expected = Config { runtimes: vec!["/opt/runc".to_owned()], ..Config::default() };
    (expected.policy.env, expected.log.level) = (Who::Privileged, Level::Warn);
    expected.policy.pods.env = Who::Privileged;
    expected.policy.annotation_prefixes = vec!["nvidia.cdi.k8s.io/".to_owned()];
    (expected.host.driver_root, expected.log.file) = ("/run/nvidia/driver".into(), "/var/log/x.log".into());
    expected.cdi.spec_dirs = vec!["/opt/cdi".into()];
    expected.inject.generate = Generate::Never;
    assert_eq!((&config, notes), (&expected, vec![]));
    let path = Path::new("c.toml");
    assert_eq!(Config::parse(&config.to_text(), path).unwrap(), expected, "what is imported can be read");
}

#[test]
fn what_has_no_counterpart_is_told_with_line_and_reason() {
    for (text, note) in [
        ("disable-require = true", "n.toml:1: disable-require is not carried over: what images require is checked"),
        ("supported-driver-capabilities = \"utility\"", "supported-driver-capabilities is not carried over: classes"),
        (
            "swarm-resource = \"DOCKER_RESOURCE_GPU\"",
            "swarm-resource is not carried over: variables of Swarm need no key",
        ),
        (
            "\n[nvidia-container-cli]\nno-cgroups = true",
            "n.toml:3: nvidia-container-cli.no-cgroups is not carried over",
        ),
        ("nvidia-container-cli.root = \"x\"", "it is \"x\"; host.driver-root must be an absolute path"),
        ("nvidia-container-runtime.debug = \"x\"", "it is \"x\"; log.file must be an absolute path"),
        ("nvidia-container-runtime.mode = \"legacy\"", "it is \"legacy\"; there is no such mode, nor need for one"),
        ("nvidia-container-runtime.mode = \"x\"", "it is \"x\"; there is no such mode"),
        ("nvidia-container-runtime.log-level = \"loud\"", "it is \"loud\"; there is no such level"),
        ("nvidia-container-runtime.runtimes = []", "it is \"\"; at least one runtime must be named"),
        ("nvidia-container-runtime.modes.cdi.annotation-prefixes = [\"\"]", "would take every annotation"),
        ("nvidia-container-runtime.modes.cdi.default-kind = \"a.b/c\"", "a name that is not qualified is always"),
        ("features.ignore-imex-channel-requests = true", "policy.management = \"never\""),
        ("features.allow-unknown-oci-spec-fields = false", "fields that nobody knows are always taken"),
        ("features.x.y = 1", "n.toml:1: features.x.y is not carried over: NVIDIA's toolkit has no such key"),
    ] {
        let notes = imported(text).notes;
        assert!(notes.len() == 3 && notes[0].contains(note), "{text}: {notes:?}");
    }
    for quiet in [
        "disable-require = false",
        "features.allow-unknown-oci-spec-fields = true",
        "supported-driver-capabilities = \"all\"",
    ] {
        assert_eq!(imported(quiet).notes.len(), 2, "{quiet}");
    }
}

#[test]
fn what_cannot_be_understood_is_an_error_with_its_line() {
    for (text, message) in [
        ("a = ", "n.toml:1: "),
        ("\ndisable-require = 1", "n.toml:2: disable-require must be true or false, a string, or a list of strings"),
        (
            "accept-nvidia-visible-devices-as-volume-mounts = \"x\"",
            "n.toml:1: accept-nvidia-visible-devices-as-volume-mounts must be true or false",
        ),
        (
            "nvidia-container-runtime.runtimes = \"runc\"",
            "n.toml:1: nvidia-container-runtime.runtimes must be a list of strings",
        ),
        ("nvidia-container-runtime.mode = true", "n.toml:1: nvidia-container-runtime.mode must be a string"),
    ] {
        let error = import(text, Path::new("n.toml")).unwrap_err().to_string();
        assert!(error.starts_with(message), "{text}: {error}");
    }
}
