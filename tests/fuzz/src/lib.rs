//! The bodies of the fuzz targets, as cargo-fuzz reaches them.

#[expect(dead_code, reason = "seeds and words are for the test suite, which writes them out")]
mod targets;

/// Runs one input of one target.
pub fn fuzz(name: &str, data: &[u8]) {
    let target = targets::find(name).expect("a target of that name");
    (target.body)(data);
}
