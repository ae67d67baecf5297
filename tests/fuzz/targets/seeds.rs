//! Reads the transcripts of `tests/transcripts`: their clients' messages are the initial corpus of the fuzz targets.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use bytes::Bytes;

use crate::protocol::Frame;

#[path = "../../transcripts/script.rs"]
mod script;

/// One action of a client in a transcript.
pub(super) enum Action {
    Connect(String),
    Send(Frame),
    /// A WebSocket frame: its first byte and its payload.
    Frame(u8, Vec<u8>),
    Raw(Vec<u8>),
}

/// The transcripts of a protocol, each as the actions of all its clients in order.
pub(super) fn transcripts(protocol: &str) -> Vec<Vec<Action>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts").join(protocol);
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = files.map(|entry| entry.expect("a file of the folder").path()).collect();
    files.sort();
    let text = |path| fs::read_to_string(path).expect("a transcript is text");
    files.into_iter().map(|path| text(path).lines().filter_map(line).collect()).collect()
}

fn line(line: &str) -> Option<Action> {
    if line.starts_with('#') {
        return None;
    }
    let at = line.find([' ', '>', '<'])?;
    // the name of a client may precede its action
    let action = if line.starts_with("connect ") { line } else { line[at..].trim_start() };
    let (verb, rest) = action.split_once(' ').unwrap_or((action, ""));
    let text = script::filled(&script::repeated(rest), &HashMap::new());
    match verb {
        "connect" => Some(Action::Connect(text)),
        ">" => Some(Action::Send(Frame::Text(text.into()))),
        // the packets of a request are its body
        "push" => text.split_once(' ').map(|(_, body)| Action::Send(Frame::Text(body.into()))),
        ">x" => Some(Action::Send(Frame::Binary(script::bytes(&text).into()))),
        ">frame" => {
            let bytes = script::bytes(&text);
            let (first, payload) = bytes.split_first()?;
            Some(Action::Frame(*first, payload.to_vec()))
        }
        ">raw" => Some(Action::Raw(script::bytes(&text))),
        _ => None,
    }
}

/// The messages that clients send in each transcript.
pub(super) fn conversations(protocol: &str) -> Vec<Vec<Frame>> {
    let sent = |line| if let Action::Send(frame) = line { Some(frame) } else { None };
    transcripts(protocol).into_iter().map(|lines| lines.into_iter().filter_map(sent).collect()).collect()
}

/// Every message in a protocol's transcripts, as bytes.
pub(super) fn messages(protocol: &str) -> Vec<Vec<u8>> {
    conversations(protocol).iter().flatten().map(|frame| bytes_of(frame).to_vec()).collect()
}

/// Every path that a client connects to in any transcript.
pub(super) fn paths() -> Vec<String> {
    let lines = ["phoenix", "peerjs", "engineio", "socketio", "socketio-0.9", "hello", "relay"]
        .into_iter()
        .flat_map(transcripts)
        .flatten();
    lines.filter_map(|line| if let Action::Connect(path) = line { Some(path) } else { None }).collect()
}

pub(super) fn bytes_of(frame: &Frame) -> Bytes {
    match frame {
        Frame::Text(text) => text.as_bytes().clone(),
        Frame::Binary(bytes) => bytes.clone(),
        Frame::Several(_) => unreachable!("a client sends one message per frame"),
    }
}
