//! Where fuzzers begin: what the clients of the transcripts say.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use bytes::Bytes;

use crate::protocol::Frame;

#[path = "../../transcripts/script.rs"]
mod script;

/// One thing that a client of a transcript does.
pub(super) enum Writer {
    Connect(String),
    Say(Frame),
    /// A frame of a WebSocket, by its first byte, and what is in it.
    Frame(u8, Vec<u8>),
    Raw(Vec<u8>),
}

/// The transcripts of a protocol, each with what all of its clients do.
pub(super) fn transcripts(protocol: &str) -> Vec<Vec<Writer>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts").join(protocol);
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = files.map(|entry| entry.expect("a file of the folder").path()).collect();
    files.sort();
    let text = |path| fs::read_to_string(path).expect("a transcript is text");
    files.into_iter().map(|path| text(path).lines().filter_map(line).collect()).collect()
}

fn line(line: &str) -> Option<Writer> {
    if line.starts_with('#') {
        return None;
    }
    let at = line.find([' ', '>', '<'])?;
    // a client's name may stand before what it does
    let act = if line.starts_with("connect ") { line } else { line[at..].trim_start() };
    let (verb, rest) = act.split_once(' ').unwrap_or((act, ""));
    let said = script::filled(&script::repeated(rest), &HashMap::new());
    match verb {
        "connect" => Some(Writer::Connect(said)),
        ">" => Some(Writer::Say(Frame::Text(said.into()))),
        ">x" => Some(Writer::Say(Frame::Binary(script::bytes(&said).into()))),
        ">frame" => {
            let bytes = script::bytes(&said);
            let (first, payload) = bytes.split_first()?;
            Some(Writer::Frame(*first, payload.to_vec()))
        }
        ">raw" => Some(Writer::Raw(script::bytes(&said))),
        _ => None,
    }
}

/// What the clients say in each transcript, message by message.
pub(super) fn conversations(protocol: &str) -> Vec<Vec<Frame>> {
    let said = |line| if let Writer::Say(frame) = line { Some(frame) } else { None };
    transcripts(protocol).into_iter().map(|lines| lines.into_iter().filter_map(said).collect()).collect()
}

/// Every message of a protocol's transcripts, as bytes.
pub(super) fn messages(protocol: &str) -> Vec<Vec<u8>> {
    conversations(protocol).iter().flatten().map(|frame| bytes_of(frame).to_vec()).collect()
}

/// Every path to which a client of any transcript connects.
pub(super) fn paths() -> Vec<String> {
    let lines = ["phoenix", "peerjs", "engineio", "socketio", "hello"].into_iter().flat_map(transcripts).flatten();
    lines.filter_map(|line| if let Writer::Connect(path) = line { Some(path) } else { None }).collect()
}

pub(super) fn bytes_of(frame: &Frame) -> Bytes {
    match frame {
        Frame::Text(text) => text.as_bytes().clone(),
        Frame::Binary(bytes) => bytes.clone(),
        Frame::Several(_) => unreachable!("nobody says several messages at once"),
    }
}
