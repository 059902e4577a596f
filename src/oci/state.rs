//! The state of a container as hooks are told it on their standard input.
//!
//! Source: OCI runtime specification, runtime.md, "State"; `root` is an addition of some runtimes.

use serde::Deserialize;

/// What a hook needs of the state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct State {
    /// The container's id.
    pub id: String,
    /// The absolute path of its bundle.
    pub bundle: String,
    /// The container's root where the runtime tells it: absolute, or below the bundle.
    pub root: String,
}

impl State {
    /// Reads the state's JSON. The error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let state: State = serde_json::from_str(text).map_err(|cause| cause.to_string())?;
        match state.bundle.is_empty() && state.root.is_empty() {
            true => Err("it names no bundle".to_owned()),
            false => Ok(state),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundle_is_told_beside_much_else() {
        let state = State::parse(
            r#"{"ociVersion":"1.0.2","id":"c","status":"creating","pid":7,"bundle":"/b","annotations":{}}"#,
        );
        assert_eq!(state, Ok(State { id: "c".into(), bundle: "/b".into(), root: String::new() }));
        for text in ["", "{}", "[]", r#"{"bundle":1}"#] {
            assert!(State::parse(text).is_err(), "{text}");
        }
    }
}
