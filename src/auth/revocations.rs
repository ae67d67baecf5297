//! [`Revocations`]: the tokens that are refused although they are valid, by subject or by id.
//!
//! A revocation is kept for `auth.max_session` at least, and forgotten later only to make room. So a revocation lasts for
//! as long as its tokens are valid, if these are signed for no longer than `auth.max_session`.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::revocation::{Revocation, RevocationsPage, RevokedTokens};
use super::revocations_file::{self, RevocationsFile};

/// The maximum number of revocations.
const MOST: usize = 100_000;
/// The maximum number of revocations of one page.
const PAGE: usize = 1_000;

/// Why tokens cannot be revoked.
#[derive(Debug)]
pub(crate) enum RevokeError {
    /// There are too many revocations, and none can be forgotten yet.
    TooMany,
    /// The file of `auth.revocations` cannot be written. The tokens are revoked until the node stops.
    File(std::io::Error),
}

impl fmt::Display for RevokeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany => write!(f, "too many revocations: {MOST} of the last auth.max_session are kept"),
            Self::File(error) => write!(f, "auth.revocations cannot be written: {error}"),
        }
    }
}

/// What identifies a token.
#[derive(Clone, Copy, Debug)]
pub(super) struct TokenIdentity<'a> {
    pub(super) subject: &'a str,
    pub(super) id: Option<&'a str>,
    /// Its `iat`, in seconds since 1970. A token without one counts as issued before any revocation.
    pub(super) issued_at: u64,
}

/// All revocations of a node.
pub(crate) struct Revocations {
    keep: Duration,
    most: usize,
    by_tokens: Mutex<ByTokens>,
    /// Locked for longer than the others, and before them: no check of a token waits for the disk.
    file: Mutex<Option<RevocationsFile>>,
}

type ByTokens = BTreeMap<RevokedTokens, Times>;

/// The times of a [`Revocation`].
#[derive(Clone, Copy)]
struct Times {
    before: u64,
    at: u64,
}

impl Revocations {
    /// No revocations. Each is kept for `keep` at least.
    pub(super) fn new(keep: Duration) -> Self {
        Self { keep, most: MOST, by_tokens: Mutex::default(), file: Mutex::default() }
    }

    /// Reads the revocations in the file, and keeps later ones there. A missing file is created.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub(super) fn open_file(&self, path: PathBuf) -> Result<(), String> {
        let mut file = RevocationsFile::open(path.clone())?;
        self.read_file(&path)?;
        file.rewrite(&self.all()).map_err(|error| error.to_string())?;
        *self.lock_file() = Some(file);
        Ok(())
    }

    /// Reads the revocations in the file, and leaves the file as it is.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub(super) fn read_file(&self, path: &Path) -> Result<(), String> {
        let revocations = revocations_file::read(path, self.most)?;
        let mut by_tokens = self.lock();
        revocations.into_iter().for_each(|revocation| merge(&mut by_tokens, revocation));
        Ok(())
    }

    /// Revokes tokens. What an earlier revocation of the same tokens covers stays revoked. Returns whether any of the
    /// revocations is new. It may wait for the disk.
    ///
    /// # Errors
    /// When there is no room, or the file cannot be written.
    pub(crate) fn add(&self, revocations: &[Revocation]) -> Result<bool, RevokeError> {
        let mut file = self.lock_file();
        let (new, has_room) = self.add_new(revocations);
        if let Some(file) = &mut *file
            && (!new.is_empty() || file.is_damaged())
        {
            let is_rewritten = file.is_damaged() || file.is_too_long(self.lock().len());
            let written = if is_rewritten { file.rewrite(&self.all()) } else { file.append(&new) };
            written.map_err(RevokeError::File)?;
        }
        has_room.map(|()| !new.is_empty())
    }

    /// Adds revocations that are not known, as long as there is room. Returns them.
    fn add_new<'a>(&self, revocations: &'a [Revocation]) -> (Vec<&'a Revocation>, Result<(), RevokeError>) {
        let (mut by_tokens, mut new) = (self.lock(), Vec::new());
        for revocation in revocations {
            if covers(&by_tokens, revocation) {
                continue;
            }
            if let Err(error) = self.make_room(&mut by_tokens, revocation) {
                return (new, Err(error));
            }
            merge(&mut by_tokens, revocation.clone());
            new.push(revocation);
        }
        (new, Ok(()))
    }

    /// Forgets old revocations if there is no room for another.
    fn make_room(&self, by_tokens: &mut ByTokens, revocation: &Revocation) -> Result<(), RevokeError> {
        if by_tokens.len() < self.most || by_tokens.contains_key(&revocation.tokens) {
            return Ok(());
        }
        let keep = self.keep.as_secs();
        by_tokens.retain(|_, times| times.at.saturating_add(keep) > revocation.at);
        if by_tokens.len() < self.most { Ok(()) } else { Err(RevokeError::TooMany) }
    }

    /// The first revocations behind `after`.
    pub(crate) fn page(&self, after: Option<RevokedTokens>) -> RevocationsPage {
        let by_tokens = self.lock();
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rest = by_tokens.range((start, Bound::Unbounded));
        let revocations = rest.by_ref().take(PAGE).map(revocation).collect();
        RevocationsPage { revocations, is_last: rest.next().is_none() }
    }

    fn all(&self) -> Vec<Revocation> {
        self.lock().iter().map(revocation).collect()
    }

    /// Whether a token is revoked.
    pub(super) fn cover(&self, token: TokenIdentity<'_>) -> bool {
        let by_tokens = self.lock();
        if by_tokens.is_empty() {
            return false;
        }
        let covers = |tokens: RevokedTokens| by_tokens.get(&tokens).is_some_and(|times| token.issued_at < times.before);
        covers(RevokedTokens::Subject(token.subject.to_owned()))
            || token.id.is_some_and(|id| covers(RevokedTokens::TokenId(id.to_owned())))
    }

    fn lock(&self) -> MutexGuard<'_, ByTokens> {
        self.by_tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_file(&self) -> MutexGuard<'_, Option<RevocationsFile>> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether an equal or later revocation of the same tokens is known.
fn covers(by_tokens: &ByTokens, revocation: &Revocation) -> bool {
    let known = by_tokens.get(&revocation.tokens);
    known.is_some_and(|times| times.before >= revocation.before && times.at >= revocation.at)
}

fn revocation((tokens, times): (&RevokedTokens, &Times)) -> Revocation {
    Revocation { tokens: tokens.clone(), before: times.before, at: times.at }
}

fn merge(by_tokens: &mut ByTokens, Revocation { tokens, before, at }: Revocation) {
    let times = by_tokens.entry(tokens).or_insert(Times { before, at });
    *times = Times { before: times.before.max(before), at: times.at.max(at) };
}

impl fmt::Debug for Revocations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Revocations").field("count", &self.lock().len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEP: Duration = Duration::from_secs(100);

    fn subject(subject: &str, before: u64) -> Revocation {
        Revocation { tokens: RevokedTokens::Subject(subject.to_owned()), before, at: before }
    }

    fn token(subject: &str, issued_at: u64) -> TokenIdentity<'_> {
        TokenIdentity { subject, id: Some("t1"), issued_at }
    }

    #[test]
    fn those_of_a_subject_are_revoked_that_were_issued_before() {
        let revocations = Revocations::new(KEEP);
        assert!(!revocations.cover(token("u7", 0)));
        assert!(revocations.add(&[subject("u7", 50)]).unwrap());
        assert!(!revocations.add(&[subject("u7", 40)]).unwrap());
        let covered = [("u7", 49), ("u7", 50), ("u8", 0)].map(|(subject, at)| revocations.cover(token(subject, at)));
        assert_eq!(covered, [true, false, false]);
    }

    #[test]
    fn one_is_revoked_by_its_id() {
        let revocations = Revocations::new(KEEP);
        revocations.add(&[Revocation { tokens: RevokedTokens::TokenId("t1".into()), before: 50, at: 50 }]).unwrap();
        assert!(revocations.cover(token("u7", 49)));
        assert!(!revocations.cover(TokenIdentity { id: Some("u7"), ..token("t1", 49) }));
        assert!(!revocations.cover(TokenIdentity { id: None, ..token("t1", 49) }));
    }

    #[test]
    fn old_ones_make_room_and_young_ones_do_not() {
        let revocations = Revocations { most: 2, ..Revocations::new(KEEP) };
        [("a", 0), ("b", 60)].iter().for_each(|(name, at)| assert!(revocations.add(&[subject(name, *at)]).unwrap()));
        assert!(matches!(revocations.add(&[subject("c", 99)]), Err(RevokeError::TooMany)));
        revocations.add(&[subject("b", 99)]).unwrap();
        revocations.add(&[subject("c", 100)]).unwrap();
        let covered = ["a", "b", "c"].map(|name| revocations.cover(token(name, 0)));
        assert_eq!(covered, [false, true, true]);
    }

    #[test]
    fn they_are_kept_in_a_file() {
        let path = std::env::temp_dir().join(format!("handclasp-revocations-{}", std::process::id()));
        let reopened = || {
            let revocations = Revocations::new(KEEP);
            revocations.open_file(path.clone()).map(|()| revocations)
        };
        let first = reopened().unwrap();
        first.add(&[subject("u7\n\"", 50)]).unwrap();
        for at in 0..3_000 {
            first.add(&[subject("u8", at)]).unwrap();
        }
        let length = std::fs::metadata(&path).unwrap().len();
        assert!(length < 100_000, "{length}");
        let second = reopened().unwrap();
        assert!(second.cover(token("u7\n\"", 49)) && second.cover(token("u8", 2_998)));
        // the last line was not written completely, as when the machine has stopped
        let mut text = std::fs::read_to_string(&path).unwrap();
        text.push_str("{\"subject\":\"u9\",\"bef");
        std::fs::write(&path, &text).unwrap();
        assert!(reopened().unwrap().cover(token("u7\n\"", 49)));
        // a line that somebody has written by hand, without its end
        std::fs::write(&path, r#"{"subject":"u9","before":50,"at":50}"#).unwrap();
        assert!(reopened().unwrap().cover(token("u9", 49)));
        let only_read = Revocations::new(KEEP);
        only_read.read_file(&path).unwrap();
        assert!(only_read.cover(token("u9", 49)));
        std::fs::write(&path, "not a revocation\n").unwrap();
        let error = reopened().unwrap_err();
        assert!(error.contains("line 1"), "{error}");
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn pages_contain_all() {
        let revocations = Revocations::new(KEEP);
        let all: Vec<Revocation> = (0..2_500).map(|n| subject(&format!("{n:04}"), n)).collect();
        assert!(revocations.add(&all).unwrap() && !revocations.add(&all).unwrap());
        let (mut told, mut after) = (Vec::new(), None);
        loop {
            let RevocationsPage { revocations, is_last } = revocations.page(after.take());
            told.extend(revocations);
            if is_last {
                break;
            }
            after = told.last().map(|last: &Revocation| last.tokens.clone());
        }
        assert_eq!(told, all);
    }
}
