//! A client of the CRI: the calls that a kubelet makes for a pod, over curl, which speaks HTTP/2 on a socket.
//!
//! Field numbers are those of the CRI's `api.proto`, version 1.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use super::super::engine::IMAGE;
use super::message::{self, Message};

/// The network of the node: no pod here has one of its own.
const NODE: u64 = 2;
/// Processes that only their own container sees, as the kubelet has it unless a pod says otherwise.
const CONTAINER: u64 = 1;

/// A socket that answers to the CRI.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) socket: String,
    /// The cgroup that pods are below.
    pub(super) cgroup: String,
    pub(super) calls: AtomicU32,
}

/// A pod whose sandbox runs. It is taken away, with its containers, when the value goes.
#[derive(Debug)]
pub(super) struct Pod<'a> {
    client: &'a Client,
    pub(super) id: String,
    config: Message,
    labels: Vec<(&'static str, String)>,
}

/// What a pod's author, its image and the device plugin say of a container.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wish<'a> {
    pub(super) env: &'a [(&'a str, &'a str)],
    /// Those that the kubelet sets, from a device plugin's answer.
    pub(super) annotations: &'a [(&'a str, &'a str)],
    /// CDI devices that the kubelet names to the engine.
    pub(super) cdi: &'a [&'a str],
    /// What `/dev/null` is mounted on.
    pub(super) nulls: &'a [&'a str],
    /// Nodes of the host, by source and destination.
    pub(super) nodes: &'a [(&'a str, &'a str)],
}

impl Client {
    /// The engine's version; the error is what it says.
    pub(super) fn version(&self) -> Result<String, String> {
        Ok(text(&self.call("Version", &Message::default())?, 3))
    }

    /// Starts a pod's sandbox with the handler gpu-runc.
    pub(super) fn pod(&self, namespace: &str, annotations: &[(&str, &str)]) -> Result<Pod<'_>, String> {
        let name = format!("pod{}", self.calls.fetch_add(1, Ordering::Relaxed));
        let metadata = Message::default().text(1, &name).text(2, &name).text(3, namespace);
        let security = Message::default().message(1, &namespaces());
        let linux = Message::default().text(1, &self.cgroup).message(2, &security);
        // The kubelet writes them, and an author's annotation of the same name does not reach over them.
        let labels = vec![
            ("io.kubernetes.pod.name", name.clone()),
            ("io.kubernetes.pod.namespace", namespace.to_owned()),
            ("io.kubernetes.pod.uid", name),
        ];
        let config = Message::default().message(1, &metadata).pairs(6, &borrowed(&labels));
        let config = config.pairs(7, annotations).message(8, &linux);
        let answer = self.call("RunPodSandbox", &Message::default().message(1, &config).text(2, "gpu-runc"))?;
        Ok(Pod { client: self, id: text(&answer, 1), config, labels })
    }

    /// Calls the runtime service. The error is the text of the status, which a kubelet puts in the pod's events.
    fn call(&self, method: &str, request: &Message) -> Result<Vec<u8>, String> {
        let mut curl = Command::new("curl")
            .args(["--silent", "--show-error", "--http2-prior-knowledge", "--max-time", "60", "--include"])
            .args(["--unix-socket", &self.socket, "--data-binary", "@-"])
            .args(["-H", "content-type: application/grpc", "-H", "te: trailers"])
            .arg(format!("http://localhost/runtime.v1.RuntimeService/{method}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        curl.stdin.take().unwrap().write_all(&request.framed()).unwrap();
        let output = curl.wait_with_output().unwrap();
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        read_answer(&output.stdout)
    }
}

impl Pod<'_> {
    /// Creates and starts a container that runs a script. The error is what starting it says.
    pub(super) fn start(&self, name: &str, wish: Wish<'_>, script: &str) -> Result<String, String> {
        let mut config = Message::default()
            .message(1, &Message::default().text(1, name))
            .message(2, &Message::default().text(1, IMAGE).text(18, IMAGE))
            .texts(3, &["sh", "-c", script])
            .pairs(6, wish.env)
            .pairs(9, &borrowed(&self.labels))
            .pairs(10, wish.annotations)
            .message(15, &Message::default().message(2, &Message::default().message(3, &namespaces())));
        for name in wish.cdi {
            config = config.message(17, &Message::default().text(1, name));
        }
        for at in wish.nulls {
            config = config.message(7, &Message::default().text(1, at).text(2, "/dev/null"));
        }
        for (from, to) in wish.nodes {
            config = config.message(8, &Message::default().text(1, to).text(2, from).text(3, "rw"));
        }
        let request = Message::default().text(1, &self.id).message(2, &config).message(3, &self.config);
        let id = text(&self.client.call("CreateContainer", &request)?, 1);
        self.client.call("StartContainer", &Message::default().text(1, &id)).map(|_| id)
    }

    /// Runs a script in a container: its exit code and what it prints.
    pub(super) fn exec(&self, container: &str, script: &str) -> (u64, String) {
        let request = Message::default().text(1, container).texts(2, &["sh", "-c", script]).number(3, 30);
        let answer = self.client.call("ExecSync", &request).unwrap();
        (message::number(&answer, 3), text(&answer, 1) + &text(&answer, 2))
    }

    /// Asks a container to end, and makes it after `patience` seconds.
    pub(super) fn stop(&self, container: &str, patience: u64) {
        self.client.call("StopContainer", &Message::default().text(1, container).number(2, patience)).unwrap();
    }

    pub(super) fn remove(&self, container: &str) {
        self.client.call("RemoveContainer", &Message::default().text(1, container)).unwrap();
    }

    /// A container's exit code once it has ended; the error says that there is none of that name.
    pub(super) fn exit_code(&self, container: &str) -> Result<Option<u64>, String> {
        const EXITED: u64 = 2;
        let answer = self.client.call("ContainerStatus", &Message::default().text(1, container))?;
        let status = message::bytes(&answer, 1);
        Ok((message::number(status, 3) == EXITED).then(|| message::number(status, 7)))
    }
}

impl Drop for Pod<'_> {
    fn drop(&mut self) {
        for method in ["StopPodSandbox", "RemovePodSandbox"] {
            if let Err(error) = self.client.call(method, &Message::default().text(1, &self.id)) {
                eprintln!("{method}: {error}");
            }
        }
    }
}

fn namespaces() -> Message {
    Message::default().number(1, NODE).number(2, CONTAINER)
}

fn borrowed<'a>(pairs: &'a [(&'a str, String)]) -> Vec<(&'a str, &'a str)> {
    pairs.iter().map(|(key, value)| (*key, value.as_str())).collect()
}

fn text(message: &[u8], field: u64) -> String {
    String::from_utf8_lossy(message::bytes(message, field)).into_owned()
}

/// Headers, a framed message or none, and trailers that have the status.
fn read_answer(answer: &[u8]) -> Result<Vec<u8>, String> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let (headers, rest) = answer.split_at(end);
    let length = rest.get(1..5).map_or(0, |length| u32::from_be_bytes(length.try_into().unwrap()) as usize);
    let (message, trailers) = if rest.first() == Some(&0) { rest[5..].split_at(length) } else { (&rest[..0], rest) };
    let ends = [headers, trailers].concat();
    let ends = String::from_utf8_lossy(&ends);
    let trailer = |name: &str| ends.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim();
    match trailer("grpc-status:") {
        "0" => Ok(message.to_vec()),
        _ => Err(decoded(trailer("grpc-message:"))),
    }
}

/// A status' text, in which bytes that are not of plain text are `%` and two digits.
fn decoded(text: &str) -> String {
    let mut pieces = text.split('%');
    let mut bytes = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        bytes.push(u8::from_str_radix(&piece[..2], 16).unwrap());
        bytes.extend_from_slice(&piece.as_bytes()[2..]);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
