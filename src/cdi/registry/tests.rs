//! How conflicts are told and names are ordered.

use super::*;

#[test]
fn a_clash_names_one_device_and_counts_the_others() {
    let kind: Kind = "acme.example/npu".parse().unwrap();
    for (names, told) in [(&["0"][..], "npu=0\" (specs"), (&["0", "1"], "npu=0\" and 1 more (specs")] {
        let problems = clash(&kind, &[Path::new("/a"), Path::new("/b")], names);
        assert!(problems.len() == 2 && problems[0].message.contains(told), "{problems:?}");
    }
}

#[test]
fn names_are_ordered_as_people_count() {
    let ordered = [
        "0",
        "0:1",
        "0:10",
        "1",
        "2",
        "10",
        "all",
        "gpu2",
        "gpu10",
        "gpu10:2",
        "gpu10:11",
        "x007",
        "x7",
        "x8",
        "0000:1b:00.0",
        "0000:43:00.0",
        "0000:9D:00.0",
        "0000:9d:00.0",
        "0000:9d:00.1",
        "0000:df:00.0",
        "000a:01:00.0",
    ];
    let mut names = ordered;
    names.reverse();
    names.sort_by(|a, b| natural(a, b));
    assert_eq!(names, ordered);
}
