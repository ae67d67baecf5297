//! A key-value bucket: a stream that keeps the last message of each subject `$KV.<bucket>.<key>`.
//!
//! Its storage is files. With storage in memory, a cluster of NATS servers that have all been restarted has a bucket that
//! is empty and yet has its old creation time, and epochs would go back. Files also keep the revisions.
//!
//! An entry is removed by a purge of its subject up to its revision. That leaves nothing behind, while the delete of other
//! clients leaves a marker for ever, and ids of peers are random. A newer revision stays.

use std::cell::Cell;
use std::error::Error;
use std::rc::Rc;
use std::time::Duration;

use async_nats::Client;
use async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE;
use async_nats::jetstream::context::{
    CreateStreamErrorKind, GetStreamErrorKind, PublishError, PublishErrorKind, RequestError, RequestErrorKind,
    UpdateStreamErrorKind,
};
use async_nats::jetstream::response::Response;
use async_nats::jetstream::stream::{Config, DiscardPolicy, Info, LastRawMessageErrorKind, StorageType, Stream};
use async_nats::jetstream::{Context, ContextBuilder, ErrorCode, message::StreamMessage};
use async_nats::{HeaderMap, HeaderValue};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;

use super::connection::Alarm;
use crate::cluster::engine::{LinkError, Lost};

/// How many servers keep a bucket, if there are as many: one may fail. Two would be worse than one, as both are needed.
const REPLICAS: usize = 3;

/// How long one step of the set-up may take: servers that have just started choose a leader first.
pub(super) const SETUP_TIMEOUT: Duration = Duration::from_secs(6);

/// After as many requests without an answer, the connection is given up: the client library keeps a little of each.
const MAX_UNANSWERED: u32 = 10_000;

/// An entry of a bucket.
pub(super) struct Entry {
    pub(super) value: Bytes,
    pub(super) revision: u64,
}

impl From<StreamMessage> for Entry {
    fn from(message: StreamMessage) -> Self {
        Self { value: message.payload, revision: message.sequence }
    }
}

/// A bucket.
#[derive(Clone)]
pub(super) struct Bucket {
    context: Context,
    stream: Stream<()>,
    /// `$KV.<bucket>.`
    prefix: String,
    /// When the bucket was created, in nanoseconds since 1970.
    pub(super) created: i128,
    /// The last revision when it was opened.
    pub(super) last_revision: u64,
    /// Whether it had no entries when it was opened.
    pub(super) is_empty: bool,
    unanswered: Rc<Cell<u32>>,
    alarm: Alarm,
}

/// Why a value was not written.
pub(super) enum NotWritten {
    /// The entry has another revision.
    Changed,
    Lost,
}

impl From<Lost> for NotWritten {
    fn from(_: Lost) -> Self {
        Self::Lost
    }
}

impl From<NotWritten> for Lost {
    fn from(_: NotWritten) -> Self {
        Self
    }
}

impl Bucket {
    /// Opens the bucket, and creates it if it is missing. `max_age` 0: entries stay.
    pub(super) async fn open(
        client: &Client,
        name: &str,
        max_age: Duration,
        timeout: Duration,
        alarm: Alarm,
    ) -> Result<Self, LinkError> {
        let setup = Setup { context: context(client, SETUP_TIMEOUT), name, max_age };
        let info = setup.open().await?;
        let context = context(client, timeout);
        let stream = context.get_stream_no_info(&info.config.name).await.map_err(|error| setup.unusable(&error))?;
        let (created, last_revision) = (info.created.unix_timestamp_nanos(), info.state.last_sequence);
        let is_empty = info.state.messages == 0;
        let (prefix, unanswered) = (format!("$KV.{name}."), Rc::default());
        Ok(Self { context, stream, prefix, created, last_revision, is_empty, unanswered, alarm })
    }

    /// Counts a request that has failed.
    fn lost<E>(&self, _: E) -> Lost {
        self.unanswered.set(self.unanswered.get() + 1);
        if self.unanswered.get() == MAX_UNANSWERED {
            self.alarm.raise("JetStream does not answer");
        }
        Lost
    }

    pub(super) fn stream(&self) -> &Stream<()> {
        &self.stream
    }

    /// The key of a subject.
    pub(super) fn key<'a>(&self, subject: &'a str) -> Option<&'a str> {
        subject.strip_prefix(&self.prefix)
    }

    fn subject(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    /// Writes an entry. With `expected`, only if that is the key's revision; 0 means that there is no entry.
    pub(super) async fn put(&self, key: &str, value: Bytes, expected: Option<u64>) -> Result<u64, NotWritten> {
        let mut headers = HeaderMap::new();
        if let Some(revision) = expected {
            headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, HeaderValue::from(revision));
        }
        let sent = self.context.publish_with_headers(self.subject(key), headers, value).await;
        let stored = match sent {
            Ok(acknowledgement) => acknowledgement.await,
            Err(error) => Err(error),
        };
        stored.map(|stored| stored.sequence).map_err(|error| match error.kind() {
            PublishErrorKind::WrongLastSequence => NotWritten::Changed,
            _ if is_being_written(&error) => NotWritten::Changed,
            _ => self.lost(error).into(),
        })
    }

    /// The entry as the leader knows it.
    pub(super) async fn get(&self, key: &str) -> Result<Option<Entry>, Lost> {
        Ok(self.message_from_leader(&self.subject(key)).await?.map(Entry::from))
    }

    /// The last message with the subject, as the leader knows it.
    pub(super) async fn message_from_leader(&self, subject: &str) -> Result<Option<StreamMessage>, Lost> {
        match self.stream.get_last_raw_message_by_subject(subject).await {
            Ok(message) => Ok(Some(message)),
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(self.lost(error)),
        }
    }

    /// Removes the entry, unless its revision is higher.
    pub(super) async fn remove(&self, key: &str, revision: u64) -> Result<(), Lost> {
        let purge = self.stream.purge().filter(self.subject(key)).sequence(revision + 1);
        purge.await.map(drop).map_err(|error| self.lost(error))
    }

    /// The subjects of all entries, and the leader's time in nanoseconds since 1970.
    pub(super) async fn subjects(&self) -> Result<(Vec<String>, i128), Lost> {
        let Listing { ts, state } = self.info(&json!({ "subjects_filter": ">" })).await?;
        let time = async_nats::datetime::parse_rfc3339(&ts).map_err(|_| Lost)?.unix_timestamp_nanos();
        Ok((state.subjects.unwrap_or_default().into_keys().collect(), time))
    }

    /// The last revision, as the leader knows it.
    pub(super) async fn revision(&self) -> Result<u64, Lost> {
        Ok(self.info(&json!({})).await?.state.last_seq)
    }

    /// What the leader knows of the stream.
    async fn info(&self, request: &serde_json::Value) -> Result<Listing, Lost> {
        let response = self.context.request(format!("STREAM.INFO.{}", self.stream_name()), request).await;
        match response.map_err(|error| self.lost(error))? {
            Response::Ok(listing) => Ok(listing),
            Response::Err { .. } => Err(Lost),
        }
    }

    fn stream_name(&self) -> String {
        // `$KV.<bucket>.`
        format!("KV_{}", &self.prefix[4..self.prefix.len() - 1])
    }
}

/// What [`Bucket::info`] reads.
#[derive(Deserialize)]
struct Listing {
    ts: String,
    state: ListingState,
}

#[derive(Deserialize)]
struct ListingState {
    last_seq: u64,
    subjects: Option<std::collections::HashMap<String, u64>>,
}

fn context(client: &Client, timeout: Duration) -> Context {
    ContextBuilder::new().timeout(timeout).build(client.clone())
}

/// How a bucket is opened.
struct Setup<'a> {
    context: Context,
    name: &'a str,
    max_age: Duration,
}

impl Setup<'_> {
    async fn open(&self) -> Result<Info, LinkError> {
        let Some(info) = self.find().await? else { return self.create().await };
        let wanted = self.config(info.config.num_replicas);
        let config = &info.config;
        if config.subjects != wanted.subjects
            || config.max_messages_per_subject != 1
            || config.storage != wanted.storage
        {
            return Err(self.unusable(&"another program has created it: remove it, or set another cluster.prefix"));
        }
        let is_clustered = info.cluster.is_some();
        if config.max_age != self.max_age && info.state.messages > 0 {
            let (there, here) = (humantime::format_duration(config.max_age), humantime::format_duration(self.max_age));
            return Err(self.unusable(&format!("the other nodes have cluster.lease {there}, and this one has {here}")));
        }
        if config.max_age != self.max_age {
            return self.update(wanted).await;
        }
        if is_clustered && config.num_replicas < REPLICAS {
            // it was created while fewer servers were there; if they still are, it works as it is
            return Ok(self.update(self.config(REPLICAS)).await.unwrap_or(info));
        }
        Ok(info)
    }

    fn config(&self, num_replicas: usize) -> Config {
        Config {
            name: format!("KV_{}", self.name),
            subjects: vec![format!("$KV.{}.>", self.name)],
            max_messages_per_subject: 1,
            max_age: self.max_age,
            storage: StorageType::File,
            num_replicas,
            discard: DiscardPolicy::New,
            ..Config::default()
        }
    }

    async fn find(&self) -> Result<Option<Info>, LinkError> {
        match self.context.get_stream(self.config(1).name).await {
            Ok(stream) => Ok(Some(stream.cached_info().clone())),
            Err(error) => match error.kind() {
                GetStreamErrorKind::JetStream(error) => match error.error_code() {
                    ErrorCode::STREAM_NOT_FOUND => Ok(None),
                    code => Err(self.refused(code, &error)),
                },
                GetStreamErrorKind::Request if is_unheard(&error) => Err(LinkError::Unusable(JETSTREAM_OFF.into())),
                _ => Err(self.unreachable(&error)),
            },
        }
    }

    async fn create(&self) -> Result<Info, LinkError> {
        let mut replicas = REPLICAS;
        loop {
            let error = match self.context.create_stream(self.config(replicas)).await {
                Ok(stream) => return Ok(stream.cached_info().clone()),
                Err(error) => error,
            };
            let CreateStreamErrorKind::JetStream(error) = error.kind() else { return Err(self.unreachable(&error)) };
            match error.error_code() {
                ErrorCode::STREAM_REPLICAS_NOT_SUPPORTED | ErrorCode::CLUSTER_NO_PEERS if replicas > 1 => replicas = 1,
                // another node was first
                ErrorCode::STREAM_NAME_EXIST => return self.find().await?.ok_or_else(|| self.unreachable(&error)),
                code => return Err(self.refused(code, &error)),
            }
        }
    }

    async fn update(&self, config: Config) -> Result<Info, LinkError> {
        self.context.update_stream(config).await.map_err(|error| match error.kind() {
            UpdateStreamErrorKind::JetStream(error) => self.refused(error.error_code(), &error),
            _ => self.unreachable(&error),
        })
    }

    fn refused(&self, code: ErrorCode, error: &dyn std::fmt::Display) -> LinkError {
        match code {
            ErrorCode::JETSTREAM_NOT_ENABLED | ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT => {
                LinkError::Unusable(JETSTREAM_OFF.into())
            }
            ErrorCode::CLUSTER_NOT_AVAILABLE | ErrorCode::CLUSTER_NO_PEERS => self.unreachable(error),
            _ => self.unusable(error),
        }
    }

    fn unreachable(&self, error: &dyn std::fmt::Display) -> LinkError {
        LinkError::Unreachable(format!("the NATS bucket {}: {error}", self.name))
    }

    fn unusable(&self, error: &dyn std::fmt::Display) -> LinkError {
        LinkError::Unusable(format!("the NATS bucket {}: {error}", self.name))
    }
}

const JETSTREAM_OFF: &str =
    "JetStream is off: start nats-server with -js, or put `jetstream {}` into its configuration";

/// Whether the servers of a cluster are about to store another entry of the key. The client library has no kind for it.
fn is_being_written(error: &PublishError) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<async_nats::jetstream::Error>());
    cause.is_some_and(|error| error.error_code() == ErrorCode::STREAM_WRONG_LAST_SEQUENCE_CONSTANT)
}

/// Whether no server listens to the API of JetStream.
fn is_unheard(error: &(dyn Error + 'static)) -> bool {
    let cause = std::iter::successors(error.source(), |error| (*error).source());
    cause
        .filter_map(|error| error.downcast_ref::<RequestError>())
        .any(|error| error.kind() == RequestErrorKind::NoResponders)
}
