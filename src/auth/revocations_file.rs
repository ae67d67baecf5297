//! [`RevocationsFile`]: keeps revocations over a restart, a JSON object in each line. A revocation is on the disk before it
//! is confirmed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::PathBuf;

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
}

impl RevocationsFile {
    /// Opens the file, or creates it, and reads its revocations. A last line that is incomplete is ignored: its revocation
    /// was not confirmed.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub(super) fn open(path: PathBuf, most: usize) -> Result<(Self, Vec<Revocation>), String> {
        let unusable = |error: io::Error| error.to_string();
        let file = OpenOptions::new().read(true).append(true).create(true).open(&path).map_err(unusable)?;
        let limit = (2 * most + SPARE_LINES) as u64 * MAX_LINE;
        let (mut revocations, mut reader) = (Vec::new(), BufReader::new((&file).take(limit)));
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).map_err(unusable)? > 0 {
            if line.last() != Some(&b'\n') {
                break;
            }
            let number = revocations.len() + 1;
            let revocation = serde_json::from_slice(&line).map_err(|_| format!("line {number} is not a revocation"))?;
            revocations.push(revocation);
            line.clear();
        }
        let lines = revocations.len();
        Ok((Self { path, file, lines }, revocations))
    }

    /// Whether most lines are not needed, if `needed` are.
    pub(super) fn is_too_long(&self, needed: usize) -> bool {
        self.lines >= 2 * needed + SPARE_LINES
    }

    /// Adds a revocation.
    pub(super) fn append(&mut self, revocation: &Revocation) -> io::Result<()> {
        self.file.write_all(&line(revocation)?)?;
        self.file.sync_data()?;
        self.lines += 1;
        Ok(())
    }

    /// Replaces what is in the file, in one step.
    pub(super) fn rewrite(&mut self, revocations: &[Revocation]) -> io::Result<()> {
        let mut name = self.path.clone().into_os_string();
        name.push(".new");
        let new = PathBuf::from(name);
        let mut file = File::create(&new)?;
        let lines = revocations.iter().map(line).collect::<io::Result<Vec<_>>>()?.concat();
        file.write_all(&lines)?;
        file.sync_all()?;
        fs::rename(&new, &self.path)?;
        self.file = OpenOptions::new().append(true).open(&self.path)?;
        self.lines = revocations.len();
        Ok(())
    }
}

fn line(revocation: &Revocation) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(revocation)?;
    line.push(b'\n');
    Ok(line)
}
