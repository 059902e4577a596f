//! The override file: for each service gpu-runc as its runtime, what it asks for as an annotation, and its reservations reset.
//!
//! Pure. Decides nothing but whether an override can do it.

use std::fmt::Write;

use super::services::{Found, Plan, Service};
use super::{quoted, scalar};
use crate::error::Result;
use crate::request::ANNOTATION;

impl Plan<'_> {
    /// The text of the override file.
    ///
    /// # Errors
    ///
    /// [`crate::error::Error::Compose`] for a reservation without capabilities: nerdctl and Docker Compose refuse its file before
    /// they read an override.
    pub fn overriding(&self) -> Result<String> {
        let runtime = self.runtime;
        let mut text = format!(
            "# Written by gpu-ctk compose: what these services reserve, asked of {runtime}. To be named after the files that it\n\
             # overrides, as in: nerdctl compose -f compose.yaml -f THIS-FILE up. Takes nerdctl 2.0, Docker Compose 2.26 or\n\
             # podman-compose 1.4, or later ones.\n\
             services:\n"
        );
        for service in &self.services {
            if let Some(Found { document, reservation }) =
                service.reservations().find(|found| !found.reservation.is_complete)
            {
                let message = "the reservation has no capabilities; nerdctl and Docker Compose refuse it before they read an \
                               override: add capabilities: [gpu], or use gpu-ctk compose --whole in place of an override";
                return Err(document.wrong(reservation.line, service.name, message));
            }
            write_service(&mut text, service, runtime);
        }
        Ok(text)
    }
}

/// The annotation goes in the form that the service's others have: podman-compose merges no list with a mapping.
fn write_service(text: &mut String, service: &Service<'_>, runtime: &str) {
    let annotation = match service.lists_annotations {
        true => format!("- {}", quoted(&format!("{ANNOTATION}={}", service.value()))),
        false => format!("{ANNOTATION}: {}", quoted(&service.value())),
    };
    let (name, runtime) = (scalar(service.name), scalar(runtime));
    // Writing to a string cannot fail.
    let _ = writeln!(text, "  {name}:\n    runtime: {runtime}\n    annotations:\n      {annotation}");
    if !service.devices.is_empty() {
        text.push_str("    deploy:\n      resources:\n        reservations:\n          devices: !reset null\n");
    }
    if !service.gpus.is_empty() {
        text.push_str("    gpus: !reset null\n");
    }
    match (service.names.is_empty(), service.nodes.is_empty()) {
        (true, _) => {}
        (false, true) => text.push_str("    devices: !reset null\n"),
        (false, false) => {
            text.push_str("    devices: !override\n");
            // JSON is YAML.
            service.nodes.iter().for_each(|node| text.push_str(&format!("      - {node}\n")));
        }
    }
}
