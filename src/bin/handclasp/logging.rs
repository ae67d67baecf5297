//! Logging: log lines as text or JSON, and the queue and thread that write them to stderr.
//!
//! It is part of the binary, because a library must not install a logger. A separate thread writes the lines. If a
//! worker wrote them itself, a full pipe (its reader hangs, or its disk is full) would stop the worker and all its
//! sockets. Lines are dropped and counted when the queue is full, and when they cannot be written because the disk is
//! full or the pipe's reader has exited. Both counts are logged once writing works again, and their sum is a metric. A
//! panic is logged with its source location only, because its message may contain data from a client.
//!
//! Other queues do not fit. `tracing-appender` drops and counts lines too, but if its queue is still full at exit, it
//! prints to stdout, which can block the exit. `logforth` counts nothing and waits for its last line without a limit.

use std::io::{self, IsTerminal, Write};
use std::panic::PanicHookInfo;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use env_logger::fmt::{Formatter, WriteStyle};
use env_logger::{Builder, Logger, Target};
use handclasp::config::{self, LogFormat};
use log::{LevelFilter, Log, Metadata, Record};
use serde::Serialize;

/// The maximum number of queued lines: 800 KiB at 200 bytes a line.
const QUEUE: usize = 4_096;

/// How long the process waits at exit for queued lines to be written.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// The target of actix's log lines about one connection.
const HTTP_TARGET: &str = "actix_http::h1::dispatcher";
/// The prefixes of those lines that are not logged, because any client could fill the log with them. Malformed requests
/// are the client's errors; the metric `connections_without_request` counts them. Responses are cut when a session is
/// closed, which has a line of its own.
const OMITTED: [&str; 2] = ["stream error: ", "Response payload stream error: "];

enum Job {
    Line(Vec<u8>),
    Flush(SyncSender<()>),
}

/// How many lines were dropped since the start.
#[derive(Default)]
struct Dropped {
    /// Lines for which the queue had no room.
    queue_full: AtomicU64,
    /// Lines that could not be written.
    write_failed: AtomicU64,
}

/// The running log. When it is dropped, it waits for the queued lines to be written, up to a timeout.
pub(crate) struct Logging {
    queue: SyncSender<Job>,
    dropped: Arc<Dropped>,
}

impl Logging {
    /// Returns a function that gives the number of lines dropped since the start.
    pub(crate) fn dropped(&self) -> impl Fn() -> u64 + Send + Sync + 'static {
        let dropped = self.dropped.clone();
        move || dropped.queue_full.load(Relaxed) + dropped.write_failed.load(Relaxed)
    }
}

/// Starts the log of this process. It can be called once, with a checked configuration.
pub(crate) fn start(config: &config::Log) -> io::Result<Logging> {
    let (queue, jobs) = sync_channel(QUEUE);
    let dropped = Arc::new(Dropped::default());
    let lines = Lines { queue: queue.clone(), dropped: dropped.clone() };
    let writer = LogWriter { dropped: dropped.clone(), ..LogWriter::default() };
    std::thread::Builder::new().name("log".into()).spawn(move || writer.run(&jobs))?;
    let mut builder = Builder::new();
    // defaults that `log.level` can override for a module: actix_server repeats the addresses that are on stdout, and
    // actix_http may log the values of malformed headers
    builder.filter_module("actix_server", LevelFilter::Warn).filter_module("actix_http", LevelFilter::Error);
    // requests to the operator's services: their headers hold signatures, and their failures have lines of their own
    for module in ["ureq", "ureq_proto", "rustls_platform_verifier"] {
        builder.filter_module(module, LevelFilter::Off);
    }
    builder.parse_filters(&config.level).format_timestamp_millis();
    match config.format {
        // env_logger takes the queue for a pipe, and would write no colours to it
        LogFormat::Human if io::stderr().is_terminal() => builder.write_style(WriteStyle::Always),
        LogFormat::Human => builder.write_style(WriteStyle::Never),
        LogFormat::Json => builder.format(json_line),
    };
    let logger = builder.target(Target::Pipe(Box::new(lines))).build();
    log::set_max_level(logger.filter());
    log::set_boxed_logger(Box::new(FilteringLogger(logger))).map_err(io::Error::other)?;
    std::panic::set_hook(Box::new(log_panic));
    Ok(Logging { queue, dropped })
}

/// A logger that omits some lines of actix.
struct FilteringLogger(Logger);

impl Log for FilteringLogger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.0.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if !is_omitted(record) {
            self.0.log(record);
        }
    }

    fn flush(&self) {
        self.0.flush();
    }
}

fn is_omitted(record: &Record<'_>) -> bool {
    let starts_with = |prefix: &&str| record.args().to_string().starts_with(*prefix);
    record.target() == HTTP_TARGET && OMITTED.iter().any(starts_with)
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    match panic.location() {
        Some(place) => log::error!("panic at {place}"),
        None => log::error!("panic"),
    }
}

impl Drop for Logging {
    fn drop(&mut self) {
        let (written, wait) = sync_channel(1);
        if self.queue.try_send(Job::Flush(written)).is_ok() {
            let _ = wait.recv_timeout(FLUSH_TIMEOUT); // after the timeout, the lines are lost
        }
    }
}

#[derive(Serialize)]
struct JsonLine<'a> {
    ts: String,
    level: &'a str,
    target: &'a str,
    msg: String,
}

fn json_line(out: &mut Formatter, record: &Record<'_>) -> io::Result<()> {
    let line = JsonLine {
        ts: out.timestamp_millis().to_string(),
        level: &record.level().as_str().to_lowercase(),
        target: record.target(),
        msg: record.args().to_string(),
    };
    writeln!(out, "{}", serde_json::to_string(&line)?)
}

/// The log thread. Only this thread waits for stderr.
#[derive(Default)]
struct LogWriter {
    dropped: Arc<Dropped>,
    reported_queue_full: u64,
    reported_write_failed: u64,
    /// Whether the last line could not be written.
    has_failed: bool,
    /// Whether a part of that line was written.
    is_in_line: bool,
}

impl LogWriter {
    fn run(mut self, jobs: &Receiver<Job>) {
        while let Ok(job) = jobs.try_recv().or_else(|_| {
            self.report_dropped();
            jobs.recv()
        }) {
            match job {
                Job::Line(line) => self.write(&line),
                Job::Flush(written) => drop(written.try_send(())),
            }
        }
    }

    /// Writes a line, or counts it. A line of which a part was written ends before the next one begins.
    fn write(&mut self, line: &[u8]) {
        let mut stderr = io::stderr();
        let written = if self.is_in_line { stderr.write_all(b"\n") } else { Ok(()) };
        self.has_failed = written.and_then(|()| self.write_bytes(&mut stderr, line)).is_err();
        if self.has_failed {
            self.dropped.write_failed.fetch_add(1, Relaxed);
        }
    }

    fn write_bytes(&mut self, out: &mut impl Write, mut line: &[u8]) -> io::Result<()> {
        self.is_in_line = false;
        while !line.is_empty() {
            match out.write(line) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(bytes) => line = &line[bytes..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            self.is_in_line = !line.is_empty();
        }
        Ok(())
    }

    /// Logs how many lines were dropped since the last report. It is called while the queue is empty, and waits until a
    /// line was written: otherwise its own lines would be dropped too.
    fn report_dropped(&mut self) {
        if self.has_failed {
            return;
        }
        let news = |dropped: &AtomicU64, reported: &mut u64| {
            let dropped = dropped.load(Relaxed);
            dropped - std::mem::replace(reported, dropped)
        };
        match news(&self.dropped.queue_full, &mut self.reported_queue_full) {
            0 => {}
            lines => log::warn!("{lines} log lines dropped while stderr was blocked"),
        }
        match news(&self.dropped.write_failed, &mut self.reported_write_failed) {
            0 => {}
            lines => log::warn!("{lines} log lines dropped because stderr could not be written"),
        }
    }
}

/// The sending end of the queue. `env_logger` writes one whole line at a time to it.
struct Lines {
    queue: SyncSender<Job>,
    dropped: Arc<Dropped>,
}

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.queue.try_send(Job::Line(line.to_vec())).is_err() {
            self.dropped.queue_full.fetch_add(1, Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
