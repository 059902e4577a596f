//! Many containers of a real engine, several at a time: each has its device, and none leaves anything.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::engine::{Ask, Engine, Through};
use super::place::Place;
use super::{engine_for_test, host, installation};

const CONTAINERS: usize = 200;
const IN_FLIGHT: usize = 8;

#[test]
fn containerd_gives_two_hundred_containers_their_gpu_with_eight_in_flight() {
    Place::all("containerd").iter().for_each(many);
}

fn many(place: &Place) {
    let Some(engine) = engine_for_test(&place.named("engines::load"), place, &installation::CONTAINERD) else { return };
    host::describe(&engine.session.scratch);
    engine.configure("");
    assert_eq!(left(&engine), "", "before");
    let (next, start) = (AtomicUsize::new(0), Instant::now());
    std::thread::scope(|scope| {
        for _ in 0..IN_FLIGHT {
            scope.spawn(|| {
                while next.fetch_add(1, Ordering::Relaxed) < CONTAINERS {
                    let seen = engine.run(
                        Through::GpuRunc,
                        &[Ask::Env("NVIDIA_VISIBLE_DEVICES=0")],
                        "test \"$(head -c 1 /dev/nvidia0 | od -An -tx1)\" = ' 00'; exit 4$?",
                    );
                    // By its exit status: ctr may close the pipes of a container before it has read all of its output.
                    assert_eq!(seen.code, 40, "{seen:?}");
                }
            });
        }
    });
    println!("{CONTAINERS} containers, {IN_FLIGHT} in flight: {:?}", start.elapsed());
    assert_eq!(left(&engine), "");
    let log = engine.session.scratch.read("gpu-runc.log");
    assert_eq!((log.matches(" INFO ").count(), log.lines().count()), (CONTAINERS, CONTAINERS), "{log}");
}

/// What containerd and runc know of containers, and their bundles.
fn left(engine: &Engine) -> String {
    let ask =
        |words: &str| engine.client.iter().cloned().chain(words.split(' ').map(str::to_owned)).collect::<Vec<_>>();
    let folders =
        "cd /run/containerd && find io.containerd.runtime.v2.task runc -mindepth 2; pgrep -f '[c]ontainerd-shim' | cat";
    let folders = ["sh", "-c", folders].map(str::to_owned).to_vec();
    let lists = [ask("containers list -q"), ask("tasks list -q"), folders];
    lists.iter().map(|line| engine.session.run(line).stdout).collect()
}
