//! Compose files: what is reserved is asked for, and reserved no longer.

use std::path::Path;

use gpu_runc::compose::{Document, plan};
use gpu_runc::vendor::Vendors;

use super::text;

const RUNTIME: &str = "gpu-runc";

/// A compose file; the override and the whole file both leave no reservation to the engine.
pub(super) fn file(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let read = |text: &str| Document::parse(Path::new("compose.yaml"), text.to_owned());
    let Ok(document) = read(text) else { return };
    let documents = [document];
    let planned = match plan(&documents, RUNTIME, Vendors::known()) {
        Ok(planned) => planned,
        Err(error) => return assert!(!error.to_string().contains('\n'), "{error}"),
    };
    if let Ok(whole) = planned.whole(&documents[0]) {
        let whole = [read(&whole).expect("what is written is read back")];
        assert!(is_done(&whole), "{whole:?}");
    }
    if let Ok(overriding) = planned.overriding() {
        let both = [read(text).expect("once more"), read(&overriding).expect("what is written is read back")];
        assert!(is_done(&both), "{overriding}");
    }
}

/// Whether nothing is left to be turned.
fn is_done(documents: &[Document]) -> bool {
    let message = plan(documents, RUNTIME, Vendors::known()).map(drop).map_err(|error| error.to_string());
    message.is_err_and(|message| message.contains("no service reserves devices"))
}
