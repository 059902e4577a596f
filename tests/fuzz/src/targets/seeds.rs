//! Inputs that get far in each reader: what the tests of this repository are made of, and a few lines by hand.

use std::path::{Path, PathBuf};

use gpu_runc::ldcache::{Cache, Library, Processors};

/// Edits of every kind.
pub(super) const EDITS: &str = concat!(
    r#"{"env":["NPU=0","A=b"],"#,
    r#""deviceNodes":[{"path":"/dev/npu0","type":"c","major":195,"minor":0},{"path":"/dev/npuctl","type":"c","major":195,"#,
    r#""minor":255,"fileMode":438,"permissions":"rw","uid":0,"gid":44}],"#,
    r#""mounts":[{"hostPath":"/usr/lib/libx.so.1","containerPath":"/usr/lib/libx.so.1","options":["ro","rbind"]}],"#,
    r#""hooks":[{"hookName":"createContainer","path":"/usr/bin/h","args":["h","x"],"env":["PATH=/bin"]}],"#,
    r#""netDevices":[{"hostInterfaceName":"eth1","name":"net1"}],"intelRdt":{"closID":"c"},"additionalGids":[44,0]}"#
);

const DOCUMENTS: &[&str] = &[
    "{}",
    "{ }\n",
    r#"{"ociVersion":"1.2.0","process":{"user":{"uid":1000,"gid":5},"env":["PATH=/bin","NVIDIA_VISIBLE_DEVICES=0","NPU=9","NPU=8"]}}"#,
    r#"{"mounts":[{"destination":"/usr/lib/libx.so.1"},{"destination":"/usr/lib/libx.so.1"},{"destination":"/usr/lib/libx.so.1/y"}]}"#,
    r#"{"linux":{"devices":[{"path":"/dev/npu0"},{"path":"/dev/npu0","type":"b"}],"namespaces":[{"type":"user"}]}}"#,
    r#"{"linux":null,"hooks":{"prestart":[{"path":"/usr/bin/nvidia-container-runtime-hook","args":["x","prestart"]}]},"annotations":{"gpu-runc/gpus":"all"}}"#,
    r#"{"Process":{"env":[]},"process":{"env":null},"\u006dounts":[1e999,-0.0,18446744073709551616]}"#,
    r#"{"\ud800":"","annotations":{"\udc00":"","io.kubernetes.cri.container-type":"container\ud800","gpu-runc/gpus":"all"},"process":{"env":["NVIDIA_VISIBLE_DEVICES=0\ud83d\ude00\ud83d","\ud800\u0041=\\ud800"]}}"#,
    r#"{"mounts":[{"destination":"/usr/lib/libx.so.1\ud800","\udbff\ud800":1}],"linux":{"devices":[{"path":"\udc00/dev/npu0"}]},"hooks":{"prestart\ud800":[{"path":"\ud800"}]}}"#,
    r#"{"linux":{"resources":{"devices":[{"allow":true,"type":"c","major":195,"minor":0,"access":"rwm"},{"allow":true,"\ud800":1}]}}}"#,
    r"a\ud800\udbff\udc00\udc00\u0041\\\ud800\n\uD83D\uDE00",
];

pub(super) fn argv(_: &Path) -> Vec<Vec<u8>> {
    lines(&[
        "runc\n--root\n/r\n--log\n/l\n--log-format\njson\ncreate\n--bundle\n/b\n--pid-file\n/p\ncreate",
        "crun\nrun\n-d\n-b=/b\n--bun\n/c\n-f\nx.json\nc",
        "youki\n-l/l\ncreate\nc\n-b/b\n--\n--bundle",
        "runc\nstate\ncreate",
    ])
}

pub(super) fn documents(root: &Path) -> Vec<Vec<u8>> {
    [lines(DOCUMENTS), files(root, "tests/bundles", "config.json")].concat()
}

/// A line of edits, and a document below it.
pub(super) fn edits(root: &Path) -> Vec<Vec<u8>> {
    let twice = r#"{"deviceNodes":[{"path":"/a","type":"c","major":1},{"path":"/b","type":"p"},{"path":"/a","type":"c","major":2}],"env":["A=1","A","A=2"],"#;
    let twice = format!(
        r#"{twice}"mounts":[{{"hostPath":"/x","containerPath":"/m"}},{{"hostPath":"/y","containerPath":"/m"}}]}}"#
    );
    let below = |edits: &str, document: &[u8]| [edits.as_bytes(), b"\n", document].concat();
    let documents = documents(root);
    documents.iter().flat_map(|document| [below(EDITS, document), below(&twice, document)]).collect()
}

pub(super) fn cdi_json(root: &Path) -> Vec<Vec<u8>> {
    let whole = format!(
        r#"{{"cdiVersion":"1.1.0","kind":"acme.example/npu","annotations":{{"a":"b"}},"devices":[{{"name":"n0","containerEdits":{EDITS}}}],"containerEdits":{EDITS}}}"#
    );
    [vec![whole.into_bytes()], files(root, "tests/bundles", ".json")].concat()
}

pub(super) fn cdi_yaml(root: &Path) -> Vec<Vec<u8>> {
    let by_hand = lines(&[
        "cdiVersion: 0.3.0\nkind: acme.example/npu\ndevices:\n- name: n0\n  containerEdits: &e\n    env: [A=b, 'C=d']\n    deviceNodes:\n    - {path: /dev/npu0, fileMode: 0666}\n- name: \"1\"\n  containerEdits: *e\n",
        "---\ncdiVersion: \"0.5.0\"\nkind: acme.example/npu\ndevices:\n    - name: n0\n      containerEdits:\n        hooks:\n            - hookName: createContainer\n              path: /usr/bin/nvidia-cdi-hook\n              args:\n                - nvidia-cdi-hook\n                - create-symlinks\n                - --link\n                - npu0::/dev/npu1\n        deviceNodes:\n            - path: /dev/npu0\n",
    ]);
    [by_hand, files(root, "tests/hosts", "expected.yaml")].concat()
}

pub(super) fn names(_: &Path) -> Vec<Vec<u8>> {
    lines(&["nvidia.com/gpu=0\nacme.example/n_p-u=GPU-1f:2.b_3,a.b/c=d\na/b=\n1.1.0\nv0.3\nacme.example/npu"])
}

pub(super) fn gpus(_: &Path) -> Vec<Vec<u8>> {
    lines(&[
        "all",
        "\"device=0,2-5\",driver=nvidia",
        "driver=amd,count=1,capabilities=gpu",
        "device=nvidia.com/gpu=all",
        "driver=cdi,device=amd.com/gpu=0",
        r#" [{"driver":"nvidia","count":"all"},{"device_ids":["0","1"],"capabilities":["gpu"],"options":{"a":"b"}}]"#,
        "amd.com/gpu=0,nvidia.com/gpu=GPU-1f",
    ])
}

/// Each value for each variable, which the first byte picks.
pub(super) fn variables(_: &Path) -> Vec<Vec<u8>> {
    let values = lines(&[
        "all",
        "0,1-3,GPU-1f",
        "none",
        "void",
        "",
        "0:1,MIG-GPU-1f/0/0",
        "nvidia.com/gpu=0,1",
        "0000:31:00.0",
        "0x00AB",
        "compute,utility",
        "cuda>=12.4 brand=tesla,driver>=470,driver<471",
        "12.4.1",
        "module-3",
        "enabled",
        "0,1;2",
        "NODRV,VIRTUAL",
    ]);
    let picks = (0..=u8::MAX).take(super::requests::names().len());
    picks.flat_map(|pick| values.iter().map(move |value| [&[pick], value.as_slice()].concat())).collect()
}

pub(super) fn containers(_: &Path) -> Vec<Vec<u8>> {
    lines(&[
        "PATH=/bin\nNVIDIA_VISIBLE_DEVICES=0,1\nNVIDIA_DRIVER_CAPABILITIES=all\nNVIDIA_REQUIRE_CUDA=cuda>=12.4",
        "@gpu-runc/gpus=2\n@cdi.k8s.io/a=nvidia.com/gpu=0\nAMD_VISIBLE_DEVICES=1",
        "/var/run/nvidia-container-devices/0\n/var/run/nvidia-container-devices/cdi/nvidia.com/gpu/all\nGPU_VISIBLE_DEVICES=all",
        "#/usr/bin/nvidia-container-runtime-hook prestart\nDOCKER_RESOURCE_NVIDIA_GPU=GPU-1f",
        "#containerd oci-hook -- /usr/bin/nvidia-container-cli --load-kmods configure --device=1,2 --utility",
    ])
}

pub(super) fn daemon_json(_: &Path) -> Vec<Vec<u8>> {
    lines(&[
        "",
        "{}",
        "{\n  \"log-level\": \"warn\"\n}\n",
        "{\"runtimes\": {}, \"default-runtime\": \"runc\"}",
        "{\n\t\"runtimes\": {\n\t\t\"nvidia\": {\"path\": \"/n\", \"runtimeArgs\": []}\n\t}\n}",
        r#"{"runtimes": {"gpu-runc": {"path": "/old"}}, "default-runtime": "gpu-runc"}"#,
        r#"{"runtimes": {"r": {}}, "Default-runtime": "gpu-runc"}"#,
    ])
}

pub(super) fn containerd(_: &Path) -> Vec<Vec<u8>> {
    lines(&[
        "",
        "version = 3\nimports = ['/etc/containerd/conf.d/*.toml', \"/x\"]\n[plugins.'io.containerd.cri.v1.runtime'.containerd]\ndefault_runtime_name = 'runc' # x\n[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]\nSystemdCgroup = true\n",
        "version = 2\ndisabled_plugins = [\"cri\"]\n[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc]\nruntime_type = \"io.containerd.runc.v2\"\n[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc.options]\nSystemdCgroup = true",
        "[plugins.cri.containerd]\n  default_runtime_name = \"\"\"runc\"\"\"\n",
        "imports = [] # none\n[crio.runtime]\ndefault_runtime = \"crun\"\n[crio.runtime.runtimes.crun]\nmonitor_path = \"/m\"\nallowed_annotations = [\n\"a\",\n]\n",
        "[engine]\nruntime_supports_json = [\"crun\", {append = true}]\n[engine.runtimes]\ncrun = ['/c']\n",
        "{{ template \"base\" . }}\n[plugins.x]\n",
        "# >>> gpu-runc: added by gpu-ctk runtime configure",
        "imports = 2\ndisabled_plugins = [\"cri\"]\n",
    ])
}

pub(super) fn compose(_: &Path) -> Vec<Vec<u8>> {
    lines(&[
        "services:\n  demo:\n    image: x\n    deploy:\n      resources:\n        reservations:\n          devices:\n          - driver: nvidia\n            count: all\n            capabilities: [gpu]\n",
        "x-gpu: &gpu\n  deploy:\n    resources:\n      reservations:\n        devices: &two\n          - driver: nvidia # one\n            count: 2\n            capabilities: [gpu, utility]\nservices:\n  web:\n    <<: *gpu\n    image: web # ü\n  flow: { image: y, gpus: all, annotations: { a: b } }\n  short: &short\n    gpus: all\n    annotations:\n    - a=b\n  same: *short\n  long:\n    runtime: 'nvidia'\n    gpus:\n      - device_ids: ['0', \"1\"]\n    deploy: {resources: {reservations: {devices: *two, memory: 1g}}}\n  more:\n    extends: {service: web}\n",
        "services: {a: {gpus: [{count: 1, driver: amd}]}, b: {\"gpus\": !override all}, c: {gpus: !reset all}}\n",
        "include: [x]\nservices:\n  a:\r\n    gpus: all\r\n    annotations: {}\r\n",
    ])
}

pub(super) fn config(_: &Path) -> Vec<Vec<u8>> {
    let default = gpu_runc::config::Config::default_text();
    let with_example = default.replace("# [[", "[[").replace("\n# ", "\n");
    vec![default.into_bytes(), with_example.into_bytes(), Vec::new()]
}

pub(super) fn nvidias(_: &Path) -> Vec<Vec<u8>> {
    lines(&[
        "accept-nvidia-visible-devices-envvar-when-unprivileged = false\nswarm-resource = \"DOCKER_RESOURCE_GPU\"\nsupported-driver-capabilities = \"compute,utility\"\n[nvidia-container-cli]\nroot = \"/run/nvidia/driver\"\nldconfig = \"@/sbin/ldconfig\"\nenvironment = []\nload-kmods = true\n[nvidia-container-runtime]\ndebug = \"/var/log/x.log\"\nlog-level = \"debug\"\nmode = \"cdi\"\nruntimes = [\"runc\", \"crun\"]\n[nvidia-container-runtime.modes.cdi]\nspec-dirs = [\"/etc/cdi\"]\nannotation-prefixes = [\"cdi.k8s.io/\"]\ndefault-kind = \"nvidia.com/gpu\"\n[features]\nx = 1\n",
        "accept-nvidia-visible-devices-as-volume-mounts = true\ndisable-require = true\n",
    ])
}

pub(super) fn hooks(_: &Path) -> Vec<Vec<u8>> {
    lines(&[
        "create-symlinks\n--link\nlibx.so.1::/usr/lib/libx.so\n--link=../y::/usr/lib/gbm/y",
        "update-ldcache\n--ldconfig-path\n/sbin/ldconfig\n--folder\n/a\n--folder=/b",
        "enable-cuda-compat\n--host-driver-version=550.54.15\n--host-cuda-version\n12.4\n--cuda-compat-container-root=/c",
        "--debug\nchmod\n--mode\n755\n--path\n/dev/dri\n-path=/x\n--mode=0",
        "prepare\n--link\na::/b\n--folder\n/f\n--mode\n1777\n--path\n/m\n--application-profile\ntrue\n--device-node-modification=false",
    ])
}

pub(super) fn ldcache(_: &Path) -> Vec<Vec<u8>> {
    let library = |name: &'static str, path: &'static str| Library::new(0x0303, name, path);
    let named =
        Library { processors: Processors::Named("x86-64-v3".into()), ..library("libx.so.1", "/lib/v3/libx.so.1") };
    let old = Library { processors: Processors::Bits(1 << 53), ..library("libo.so.6", "/lib/tls/libo.so.6") };
    let mut cache = Cache::default();
    cache.merge(vec![library("libz.so.1", "/lib/libz.so.1"), named, library("libx.so.1", "/lib/libx.so.1"), old]);
    let mut behind_the_old_one = b"ld.so-1.7.0\0".to_vec();
    behind_the_old_one.extend(1_u32.to_le_bytes());
    behind_the_old_one.resize(32, 0);
    behind_the_old_one.extend(cache.to_bytes());
    vec![cache.to_bytes(), behind_the_old_one, Cache::default().to_bytes()]
}

/// Libraries of both classes: a name, and a note whose size and alignment may be any.
pub(super) fn elf(_: &Path) -> Vec<Vec<u8>> {
    [true, false].map(library).to_vec()
}

/// A header, two segments, a dynamic section, its texts, a note, the names of sections, and their headers.
fn library(is_64: bool) -> Vec<u8> {
    let (width, header, segment, section) = if is_64 { (8, 64, 56, 64) } else { (4, 52, 32, 40) };
    let number = |value: usize, width: usize| value.to_le_bytes()[..width].to_vec();
    let dynamic = header + 2 * segment;
    let texts = dynamic + 6 * width;
    let note = texts + 12;
    let names = note + 28;
    let table = names + 12;
    let mut bytes = [&[0x7f, b'E', b'L', b'F', if is_64 { 2 } else { 1 }, 1][..], &vec![0; header - 6]].concat();
    let mut put = |at: usize, value: usize, width: usize| bytes[at..at + width].copy_from_slice(&number(value, width));
    put(if is_64 { 32 } else { 28 }, header, width);
    put(if is_64 { 56 } else { 44 }, 2, 2);
    put(if is_64 { 40 } else { 32 }, table, width);
    put(if is_64 { 60 } else { 48 }, 3, 2);
    put(if is_64 { 62 } else { 50 }, 2, 2);
    for (kind, offset, size) in [(1, 0, 4096), (2, dynamic, 6 * width)] {
        let mut entry = vec![0; segment];
        let places = if is_64 { [8, 16, 32] } else { [4, 8, 16] };
        entry[..4].copy_from_slice(&number(kind, 4));
        for (at, value) in places.into_iter().zip([offset, offset, size]) {
            entry[at..at + width].copy_from_slice(&number(value, width));
        }
        bytes.extend(entry);
    }
    for value in [5, texts, 14, 1, 0, 0] {
        bytes.extend(number(value, width));
    }
    bytes.extend(b"\0libx.so.1\0\0");
    bytes.extend([5_u32, 7, 1].iter().flat_map(|word| word.to_le_bytes()));
    bytes.extend(b"Acme\0\0\0\0content\0");
    bytes.extend(b"\0.note.x\0\0\0\0");
    for (name, kind, offset, size) in [(0, 0, 0, 0), (1, 7, note, 28), (0, 3, names, 12)] {
        let mut entry = vec![0; section];
        let (at_offset, at_size, at_alignment) = if is_64 { (24, 32, 48) } else { (16, 20, 32) };
        entry[..4].copy_from_slice(&number(name, 4));
        entry[4..8].copy_from_slice(&number(kind, 4));
        for (at, value) in [(at_offset, offset), (at_size, size), (at_alignment, 4)] {
            entry[at..at + width].copy_from_slice(&number(value, width));
        }
        bytes.extend(entry);
    }
    // Texts are read in pieces of a fixed size.
    bytes.resize(bytes.len() + 300, 0);
    bytes
}

pub(super) fn patterns(_: &Path) -> Vec<Vec<u8>> {
    lines(&[
        "lib*.so.*\nlibx.so.1\nlib.so.\nliba.so.b.so.c",
        "*\n\na",
        "a**b*\nab\naxbb\nb",
        "nvidia\nCharacter devices:\n195 nvidia\n510 nvidia-uvm\n\nBlock devices:\n8 sd",
    ])
}

fn lines(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// Small files below a folder of the repository whose names end in a suffix.
fn files(root: &Path, folder: &str, suffix: &str) -> Vec<Vec<u8>> {
    const LARGEST: usize = 4096;
    let mut found = Vec::new();
    walk(&root.join(folder), suffix, &mut found);
    found.sort();
    let contents = found.iter().filter_map(|path| std::fs::read(path).ok());
    let mut contents: Vec<Vec<u8>> = contents.filter(|content| content.len() <= LARGEST).collect();
    contents.sort();
    contents.dedup();
    contents
}

fn walk(folder: &Path, suffix: &str, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        // Links in the captured hosts loop as the kernel's do.
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && !["sys", "proc", "dev"].iter().any(|name| entry.file_name() == *name) => {
                walk(&entry.path(), suffix, found);
            }
            Ok(kind) if kind.is_file() && entry.file_name().to_string_lossy().ends_with(suffix) => {
                found.push(entry.path());
            }
            _ => {}
        }
    }
}
