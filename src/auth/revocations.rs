//! [`Revocations`]: the tokens that are refused although they are valid, by subject or by id.
//!
//! A revocation is kept for `auth.max_session` at least, and forgotten later only to make room. So a revocation lasts for
//! as long as its tokens are valid, if these are signed for no longer than `auth.max_session`.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::revocation::{Revocation, RevokedTokens};
use super::revocations_file::RevocationsFile;

/// The maximum number of revocations.
const MOST: usize = 100_000;

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
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    by_tokens: HashMap<RevokedTokens, Times>,
    file: Option<RevocationsFile>,
}

/// The times of a [`Revocation`].
#[derive(Clone, Copy)]
struct Times {
    before: u64,
    at: u64,
}

impl Revocations {
    /// No revocations. Each is kept for `keep` at least.
    pub(super) fn new(keep: Duration) -> Self {
        Self { keep, most: MOST, state: Mutex::default() }
    }

    /// Reads the revocations in the file, and keeps later ones there. A missing file is created.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub(super) fn open_file(&self, path: PathBuf) -> Result<(), String> {
        let (mut file, revocations) = RevocationsFile::open(path, self.most)?;
        let mut state = self.lock();
        for Revocation { tokens, before, at } in revocations {
            merge(&mut state.by_tokens, tokens, Times { before, at });
        }
        file.rewrite(&state.all()).map_err(|error| error.to_string())?;
        state.file = Some(file);
        Ok(())
    }

    /// Revokes tokens. What an earlier revocation of the same tokens covers stays revoked.
    ///
    /// # Errors
    /// When there is no room, or the file cannot be written.
    pub(crate) fn add(&self, revocation: &Revocation) -> Result<(), RevokeError> {
        let mut state = self.lock();
        let is_new = !state.by_tokens.contains_key(&revocation.tokens);
        if is_new && state.by_tokens.len() >= self.most {
            let keep = self.keep.as_secs();
            state.by_tokens.retain(|_, times| times.at.saturating_add(keep) > revocation.at);
            if state.by_tokens.len() >= self.most {
                return Err(RevokeError::TooMany);
            }
        }
        let Revocation { tokens, before, at } = revocation.clone();
        merge(&mut state.by_tokens, tokens, Times { before, at });
        state.write(revocation).map_err(RevokeError::File)
    }

    /// Whether a token is revoked.
    pub(super) fn cover(&self, token: TokenIdentity<'_>) -> bool {
        let state = self.lock();
        if state.by_tokens.is_empty() {
            return false;
        }
        let covers =
            |tokens: RevokedTokens| state.by_tokens.get(&tokens).is_some_and(|times| token.issued_at < times.before);
        covers(RevokedTokens::Subject(token.subject.to_owned()))
            || token.id.is_some_and(|id| covers(RevokedTokens::TokenId(id.to_owned())))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn all(&self) -> Vec<Revocation> {
        let revocation = |(tokens, times): (&RevokedTokens, &Times)| Revocation {
            tokens: tokens.clone(),
            before: times.before,
            at: times.at,
        };
        self.by_tokens.iter().map(revocation).collect()
    }

    /// Writes a revocation to the file. A file that has become much longer than needed is written anew.
    fn write(&mut self, revocation: &Revocation) -> std::io::Result<()> {
        let Some(mut file) = self.file.take() else { return Ok(()) };
        let written = match file.is_too_long(self.by_tokens.len()) {
            true => file.rewrite(&self.all()),
            false => file.append(revocation),
        };
        self.file = Some(file);
        written
    }
}

fn merge(by_tokens: &mut HashMap<RevokedTokens, Times>, tokens: RevokedTokens, Times { before, at }: Times) {
    let times = by_tokens.entry(tokens).or_insert(Times { before, at });
    *times = Times { before: times.before.max(before), at: times.at.max(at) };
}

impl fmt::Debug for Revocations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Revocations").field("count", &self.lock().by_tokens.len()).finish_non_exhaustive()
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
        revocations.add(&subject("u7", 50)).unwrap();
        revocations.add(&subject("u7", 40)).unwrap();
        let covered = [("u7", 49), ("u7", 50), ("u8", 0)].map(|(subject, at)| revocations.cover(token(subject, at)));
        assert_eq!(covered, [true, false, false]);
    }

    #[test]
    fn one_is_revoked_by_its_id() {
        let revocations = Revocations::new(KEEP);
        revocations.add(&Revocation { tokens: RevokedTokens::TokenId("t1".into()), before: 50, at: 50 }).unwrap();
        assert!(revocations.cover(token("u7", 49)));
        assert!(!revocations.cover(TokenIdentity { id: Some("u7"), ..token("t1", 49) }));
        assert!(!revocations.cover(TokenIdentity { id: None, ..token("t1", 49) }));
    }

    #[test]
    fn old_ones_make_room_and_young_ones_do_not() {
        let revocations = Revocations { most: 2, ..Revocations::new(KEEP) };
        [("a", 0), ("b", 60)].iter().for_each(|(name, at)| revocations.add(&subject(name, *at)).unwrap());
        assert!(matches!(revocations.add(&subject("c", 99)), Err(RevokeError::TooMany)));
        revocations.add(&subject("b", 99)).unwrap();
        revocations.add(&subject("c", 100)).unwrap();
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
        first.add(&subject("u7\n\"", 50)).unwrap();
        for at in 0..3_000 {
            first.add(&subject("u8", at)).unwrap();
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
        std::fs::write(&path, "not a revocation\n").unwrap();
        let error = reopened().unwrap_err();
        assert!(error.contains("line 1"), "{error}");
        std::fs::remove_file(&path).unwrap();
    }
}
