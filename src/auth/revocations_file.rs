//! [`RevocationsFile`]: keeps revocations over a restart, a JSON object in each line. A revocation is on the disk before it
//! is confirmed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use super::revocation::Revocation;

/// The maximum size of a line, in bytes: of a subject with 128 bytes that are all escaped.
const MAX_LINE: u64 = 1_024;
/// The number of lines that are not needed, beside as many as are needed, before the file is written anew.
const SPARE_LINES: usize = 1_000;

/// The file, open for appending.
pub(super) struct RevocationsFile {
    path: PathBuf,
    file: File,
    lines: usize,
    /// Whether a line may be incomplete, because a write has failed. Then the file must be written anew.
    is_damaged: bool,
}

impl RevocationsFile {
    /// Opens the file, or creates it.
    ///
    /// # Errors
    /// Why it cannot be opened.
    pub(super) fn open(path: PathBuf) -> Result<Self, String> {
        let file = OpenOptions::new().append(true).create(true).open(&path).map_err(|error| error.to_string())?;
        Ok(Self { path, file, lines: 0, is_damaged: false })
    }

    /// Whether most lines are not needed, if `needed` are.
    pub(super) fn is_too_long(&self, needed: usize) -> bool {
        self.lines >= 2 * needed + SPARE_LINES
    }

    /// Whether the file must be written anew.
    pub(super) fn is_damaged(&self) -> bool {
        self.is_damaged
    }

    /// Adds revocations.
    pub(super) fn append(&mut self, revocations: &[&Revocation]) -> io::Result<()> {
        let lines = revocations.iter().map(|revocation| line(revocation)).collect::<io::Result<Vec<_>>>()?;
        self.is_damaged = true;
        self.file.write_all(&lines.concat())?;
        self.file.sync_data()?;
        self.is_damaged = false;
        self.lines += lines.len();
        Ok(())
    }

    /// Replaces what is in the file, in one step.
    pub(super) fn rewrite(&mut self, revocations: &[Revocation]) -> io::Result<()> {
        let mut name = self.path.clone().into_os_string();
        name.push(".new");
        let new = PathBuf::from(name);
        let lines = revocations.iter().map(line).collect::<io::Result<Vec<_>>>()?.concat();
        self.is_damaged = true;
        let mut file = File::create(&new)?;
        file.write_all(&lines)?;
        file.sync_all()?;
        fs::rename(&new, &self.path)?;
        self.file = file;
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
        self.lines = revocations.len();
        self.is_damaged = false;
        Ok(())
    }
}

/// Reads the revocations in a file. A last line that is incomplete is ignored: its revocation was not confirmed.
///
/// # Errors
/// What is wrong with the file.
pub(super) fn read(path: &Path, most: usize) -> Result<Vec<Revocation>, String> {
    let unusable = |error: io::Error| error.to_string();
    let limit = (2 * most + SPARE_LINES) as u64 * MAX_LINE;
    let (mut revocations, mut line) = (Vec::new(), Vec::new());
    let mut reader = BufReader::new(File::open(path).map_err(unusable)?.take(limit));
    while reader.read_until(b'\n', &mut line).map_err(unusable)? > 0 {
        let number = revocations.len() + 1;
        match serde_json::from_slice(&line) {
            Ok(revocation) => revocations.push(revocation),
            Err(_) if line.last() != Some(&b'\n') => break,
            Err(_) => return Err(format!("line {number} is not a revocation")),
        }
        line.clear();
    }
    Ok(revocations)
}

fn line(revocation: &Revocation) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(revocation)?;
    line.push(b'\n');
    Ok(line)
}
