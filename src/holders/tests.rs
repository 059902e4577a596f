//! Records, states and processes together: who is alive, who is not, and what a hostile machine can do.

#![allow(clippy::disallowed_methods, reason = "tests make their own machine")]

use std::fs;
use std::os::unix::fs::symlink;

use super::*;

struct Machine {
    root: tempfile::TempDir,
}

const PATIENCE: Duration = Duration::from_millis(50);
const NODE: Number = (195, 0);

impl Machine {
    fn new() -> Self {
        Machine { root: tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap() }
    }

    fn host(&self) -> Host {
        fs::create_dir_all(self.root.path().join("run")).unwrap();
        Host::open(self.root.path()).unwrap()
    }

    fn run(&self) -> PathBuf {
        self.host().real(Path::new("/run")).into_owned()
    }

    fn table(&self) -> PathBuf {
        self.run().join("gpu-runc/holders/table")
    }

    fn container(&self, id: &str) -> Container {
        Container { root: self.run().join("runc").to_string_lossy().into_owned(), id: id.to_owned() }
    }

    /// A state as runc writes it.
    fn state(&self, id: &str, init: Process, (major, minor): Number) {
        let folder = self.run().join("runc").join(id);
        fs::create_dir_all(&folder).unwrap();
        let Process { pid, start } = init;
        let devices = format!(r#"[{{"type":99,"major":{major},"minor":{minor}}}]"#);
        let text =
            format!(r#"{{"init_process_pid":{pid},"init_process_start":{start},"config":{{"devices":{devices}}}}}"#);
        fs::write(folder.join("state.json"), text).unwrap();
    }

    fn grant(&self, id: &str, by: Process, lease: Lease) -> Grant {
        Grant {
            since: 1_796_000_000,
            by,
            namespace: namespace().unwrap(),
            container: self.container(id),
            bundle: "/b".into(),
            lease,
            source: "a test".into(),
            devices: vec![Held { names: vec!["a.example/gpu=0".into()], nodes: vec![NODE] }],
        }
    }

    fn write(&self, grant: &Grant) {
        self.lock().write(grant).unwrap();
    }

    fn lock(&self) -> Records {
        let records = Records::lock(&self.host(), None, PATIENCE);
        assert_eq!(records.fault(), None);
        records
    }

    fn survey(&self) -> Holders {
        self.lock().survey()
    }

    fn alive(&self) -> Vec<String> {
        self.survey().containers.into_iter().map(|holder| holder.container.id).collect()
    }
}

fn this() -> Process {
    Process::current().unwrap()
}

/// A process that has ended.
fn ended() -> Process {
    Process { start: 1, ..this() }
}

#[test]
fn a_container_is_alive_by_its_own_process_or_by_its_init() {
    let machine = Machine::new();
    assert_eq!(machine.alive(), [""; 0], "an empty machine");
    machine.write(&machine.grant("creating", this(), Lease::Shared));
    machine.write(&machine.grant("killed-before-exec", ended(), Lease::Shared));
    machine.write(&machine.grant("killed-in-create", ended(), Lease::Exclusive));
    fs::create_dir_all(machine.run().join("runc/killed-in-create")).unwrap();
    machine.write(&machine.grant("running", ended(), Lease::Shared));
    machine.state("running", this(), NODE);
    machine.write(&machine.grant("stopped", ended(), Lease::Exclusive));
    machine.state("stopped", Process { pid: this().pid, start: 7 }, NODE);
    machine.state("of-another-engine", this(), NODE);
    assert_eq!(machine.alive(), ["creating", "running", "of-another-engine"]);
    let survey = machine.survey();
    assert_eq!(survey.unread, [""; 0]);
    let running = &survey.containers[1];
    assert_eq!((running.init, running.since, running.nodes.len()), (Some(this()), Some(1_796_000_000), 1));
    assert_eq!(survey.containers[2].devices, []);
    assert!(machine.lock().exclusive().is_empty());
    machine.write(&machine.grant("mine", this(), Lease::Exclusive));
    assert_eq!(machine.lock().exclusive().len(), 1);
}

#[test]
fn a_container_that_is_deleted_and_made_again_is_another() {
    let machine = Machine::new();
    let early = Process { pid: this().pid, start: 2 };
    let late = Process { pid: this().pid, start: this().start };
    machine.write(&machine.grant("c", early, Lease::Exclusive));
    let mut second = machine.grant("c", Process { start: late.start - 1, ..late }, Lease::Shared);
    second.devices[0].nodes = vec![(195, 1)];
    machine.write(&second);
    machine.state("c", late, (195, 1));
    let survey = machine.survey();
    assert_eq!(survey.containers.len(), 1);
    assert_eq!((survey.containers[0].lease, &survey.containers[0].nodes), (Lease::Shared, &[(195, 1)].into()));
    // A `create` that failed because the id is taken: the container is still the second one.
    machine
        .write(&Grant { by: Process { start: late.start + 1, ..late }, ..machine.grant("c", late, Lease::Exclusive) });
    let survey = machine.survey();
    assert_eq!(survey.containers.len(), 1);
    assert_eq!(survey.containers[0].lease, Lease::Shared);
}

#[test]
fn the_next_decision_sweeps_what_has_ended() {
    let machine = Machine::new();
    for number in 0..100 {
        machine.write(&machine.grant(&format!("c{number}"), ended(), Lease::Exclusive));
    }
    machine.write(&machine.grant("alive", this(), Lease::Shared));
    assert_eq!(fs::read_to_string(machine.table()).unwrap().lines().count(), 101);
    let survey = machine.survey();
    assert_eq!((survey.containers.len(), survey.stale), (1, 100));
    assert_eq!(fs::read_to_string(machine.table()).unwrap().lines().count(), 2, "and how many there were");
    fs::remove_dir_all(machine.run().join("gpu-runc")).unwrap();
    assert_eq!(machine.alive(), [""; 0], "as after a reboot");
}

#[test]
fn a_survey_is_due_once_a_table_has_grown() {
    let machine = Machine::new();
    // Above the largest PID that the kernel gives.
    let absent = Process { pid: 1 << 22, start: 1 };
    for _ in 0..MOST_UNSWEPT {
        machine.write(&machine.grant("c", absent, Lease::Shared));
    }
    assert!(!machine.lock().is_due());
    machine.write(&machine.grant("c", absent, Lease::Shared));
    assert!(machine.lock().is_due());
    machine.survey();
    assert!(!machine.lock().is_due());
    assert!(!machine.lock().has_exclusive());
}

#[test]
fn a_state_is_read_once_as_long_as_its_directory_is_the_same() {
    let machine = Machine::new();
    machine.state("c", this(), NODE);
    assert_eq!(machine.alive(), ["c"]);
    let noted = fs::read_to_string(machine.table()).unwrap_or_default();
    if noted.is_empty() {
        return; // The temporary directory is not in memory, so inodes can be used again.
    }
    fs::write(machine.run().join("runc/c/state.json"), "").unwrap();
    assert_eq!(machine.alive(), ["c"], "from the table");
    fs::remove_dir_all(machine.run().join("runc/c")).unwrap();
    machine.state("other", this(), NODE);
    machine.state("c", ended(), NODE);
    assert_eq!(machine.alive(), ["other"]);
    fs::remove_dir_all(machine.run().join("runc")).unwrap();
    assert_eq!(machine.alive(), [""; 0]);
    assert_eq!(fs::read_to_string(machine.table()).unwrap(), "swept\t0\n", "what is gone is not noted for ever");
}

#[test]
fn whatever_a_table_holds_is_a_warning_at_most() {
    for text in [
        "",
        "\n\n\n",
        "grant\n",
        "grant\t1\t2",
        "\0\u{1b}[31m\n",
        &"x".repeat(1 << 20),
        &"grant\t1\t2\t3\t4\t/\t..\t/\tshared\ts\ta.b/c=d@1:2\n".repeat(10_000),
        &"seen\t1\t2\t3\t/etc\tpasswd\t1:2\n".repeat(10_000),
    ] {
        let machine = Machine::new();
        fs::create_dir_all(machine.table().parent().unwrap()).unwrap();
        fs::write(machine.table(), text).unwrap();
        assert_eq!(machine.alive(), [""; 0]);
        machine.write(&machine.grant("c", this(), Lease::Exclusive));
        assert_eq!(machine.alive(), ["c"], "a half line does not take the next one with it");
    }
}

#[test]
fn a_table_that_cannot_be_used_is_a_fault_and_no_panic() {
    type Break = fn(&Path);
    let breaks: [(&str, Break); 6] = [
        ("not UTF-8", |table| fs::write(table, b"\xff\n").unwrap()),
        ("a directory", |table| fs::create_dir(table).unwrap()),
        ("a link", |table| symlink("/etc/passwd", table).unwrap()),
        ("a pipe", |table| nix::unistd::mkfifo(table, nix::sys::stat::Mode::S_IRWXU).unwrap()),
        ("larger than any", |table| fs::File::create(table).unwrap().set_len(1 << 30).unwrap()),
        ("a directory that others write", |table| {
            use std::os::unix::fs::PermissionsExt;
            fs::set_permissions(table.parent().unwrap(), fs::Permissions::from_mode(0o777)).unwrap();
        }),
    ];
    for (what, break_it) in breaks {
        let machine = Machine::new();
        fs::create_dir_all(machine.table().parent().unwrap()).unwrap();
        break_it(&machine.table());
        let mut records = Records::lock(&machine.host(), None, PATIENCE);
        assert!(records.fault().is_some(), "{what}");
        assert!(records.survey().containers.is_empty(), "{what}");
        assert!(records.write(&machine.grant("c", this(), Lease::Shared)).is_err(), "{what}");
        assert!(Records::read(&machine.host(), None).fault().is_some(), "{what}");
    }
}

#[test]
fn states_of_a_hostile_user_are_bounded() {
    let machine = Machine::new();
    let user = machine.run().join("user/1000");
    fs::create_dir_all(user.join("runc")).unwrap();
    symlink("/proc", user.join("crun")).unwrap();
    let folder = |id: &str| {
        fs::create_dir(user.join("runc").join(id)).unwrap();
        user.join("runc").join(id)
    };
    symlink("/etc/passwd", folder("link").join("state.json")).unwrap();
    nix::unistd::mkfifo(&folder("pipe").join("state.json"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    fs::File::create(folder("large").join("state.json")).unwrap().set_len(1 << 40).unwrap();
    fs::write(folder("half").join("state.json"), r#"{"init_process_pid":1,"con"#).unwrap();
    symlink(folder("elsewhere"), user.join("runc/linked")).unwrap();
    let state = format!(
        r#"{{"init_process_pid":{},"init_process_start":{},"config":{{"devices":[{{"type":99,"major":195,"minor":0}}]}}}}"#,
        this().pid,
        this().start
    );
    fs::write(folder("good").join("state.json"), state).unwrap();
    assert_eq!(machine.alive(), ["good"]);
}

#[test]
fn a_lock_that_is_held_is_waited_for_and_then_gone_without() {
    let machine = Machine::new();
    let first = machine.lock();
    let mut second = Records::lock(&machine.host(), None, PATIENCE);
    assert!(second.fault().unwrap().ends_with("the lock is held by another process"), "{:?}", second.fault());
    assert!(second.survey().containers.is_empty());
    drop(first);
    assert_eq!(machine.lock().fault(), None);
}

#[test]
fn records_of_another_pid_namespace_live_as_long_as_their_directory() {
    let machine = Machine::new();
    machine.write(&Grant { namespace: 1, ..machine.grant("inside", ended(), Lease::Exclusive) });
    machine.write(&Grant { namespace: 1, ..machine.grant("gone", this(), Lease::Exclusive) });
    machine.state("inside", ended(), NODE);
    assert_eq!(machine.alive(), ["inside"]);
}

#[test]
fn a_privileged_container_holds_nothing_by_having_every_node() {
    let machine = Machine::new();
    machine.state("c", this(), NODE);
    let path = machine.run().join("runc/c/state.json");
    let text = fs::read_to_string(&path).unwrap();
    let rules = r#""cgroups":{"devices":[{"type":97,"major":-1,"minor":-1,"allow":true}]},"devices""#;
    fs::write(&path, text.replace(r#""devices""#, rules)).unwrap();
    assert_eq!(machine.alive(), [""; 0]);
    machine.write(&machine.grant("c", ended(), Lease::Shared));
    assert_eq!(machine.alive(), ["c"], "but what gpu-runc gave it, it holds");
}

#[test]
fn a_users_table_does_not_take_in_the_machines_records() {
    let machine = Machine::new();
    let places = Places::new(&machine.run(), None);
    machine.write(&machine.grant("roots", this(), Lease::Exclusive));
    let mut records = Records::none(&machine.host());
    let user = machine.run().join("user/1000/gpu-runc/holders");
    fs::create_dir_all(user.parent().unwrap()).unwrap();
    let theirs = Places { system: user.clone(), user: None };
    records.table = Some(theirs.lock(PATIENCE).unwrap());
    records.others = places.read(Some(&user), &mut Vec::new());
    assert_eq!(records.survey().containers.len(), 1);
    assert_eq!(fs::read_to_string(user.join("table")).unwrap_or_default(), "");
}
