//! TLS of the public listener: a certificate and its key, read from PEM files, and read again when they change.
//!
//! Renewed files are written one after the other, so that for a moment the certificate and the key do not belong together.
//! So a pair that was found by looking at the files is used once it was found twice; a pair that an operator points to,
//! by SIGHUP, is used at once. A pair that cannot be used changes nothing.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ProducesTickets, ServerSessionMemoryCache, StoresServerSessions};
use rustls::{InconsistentKeys, ServerConfig};
use sha2::{Digest, Sha256};

use crate::config::Tls;

/// The maximum size of each file, in bytes. A chain has a few certificates of about 2 kB.
const MAX_FILE: u64 = 1024 * 1024;
/// The number of sessions of TLS 1.2 clients without tickets that can be resumed.
const SESSIONS: usize = 1_024;
/// The only protocol inside TLS: browsers open WebSockets over HTTP/1.1.
const ALPN: &[u8] = b"http/1.1";

/// Why TLS cannot be used. It contains nothing of the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidTls(String);

impl fmt::Display for InvalidTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InvalidTls {}

/// What became of the files of a certificate when they were read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reloaded {
    /// They have not changed.
    Unchanged,
    /// They have changed, and are used if they are still the same when they are read next.
    Awaited,
    /// New connections get the new certificate.
    Replaced,
}

/// The certificate of a listener, and what new connections need of it.
pub struct ServerTls {
    files: CertificateFiles,
    resumption: Resumption,
    current: RwLock<Current>,
    /// What was found when the files had changed.
    seen: Mutex<Option<Seen>>,
}

struct Current {
    config: Arc<ServerConfig>,
    fingerprint: Fingerprint,
}

/// A pair, or an error, that was found in the files.
struct Seen {
    fingerprint: Fingerprint,
    /// Whether it was found again, and was used or refused then.
    is_judged: bool,
}

type Fingerprint = [u8; 32];

#[derive(Debug)]
struct CertificateFiles {
    cert: PathBuf,
    key: PathBuf,
}

/// Clients resume their sessions after a reload too.
struct Resumption {
    ticketer: Arc<dyn ProducesTickets>,
    sessions: Arc<dyn StoresServerSessions>,
}

impl ServerTls {
    /// Reads the certificate and the key that `config` names. `None` if it names none.
    ///
    /// # Errors
    /// When a file cannot be read, is not PEM, or the key is not the certificate's.
    pub fn from_config(config: &Tls) -> Result<Option<Self>, InvalidTls> {
        let (Some(cert), Some(key)) = (config.cert.clone(), config.key.clone()) else { return Ok(None) };
        let files = CertificateFiles { cert, key };
        let ticketer = Ticketer::new().map_err(|error| InvalidTls(format!("no key for session tickets: {error}")))?;
        let resumption = Resumption { ticketer, sessions: ServerSessionMemoryCache::new(SESSIONS) };
        let pair = files.read()?;
        let current = Current { config: Arc::new(pair.config(&files, &resumption)?), fingerprint: pair.fingerprint() };
        Ok(Some(Self { files, resumption, current: RwLock::new(current), seen: Mutex::default() }))
    }

    /// What the next connection is accepted with.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).config.clone()
    }

    /// Reads the files again, and uses them at once if they have changed.
    ///
    /// # Errors
    /// When they cannot be used. Then nothing changes.
    pub(crate) fn reload(&self) -> Result<Reloaded, InvalidTls> {
        let pair = self.files.read()?;
        match self.is_current(&pair.fingerprint()) {
            true => Ok(Reloaded::Unchanged),
            false => self.replace(&pair),
        }
    }

    /// Reads the files again, and uses them if they have changed and were the same the last time.
    ///
    /// # Errors
    /// When they cannot be used, once for each such pair. Then nothing changes.
    pub(crate) fn reload_if_settled(&self) -> Result<Reloaded, InvalidTls> {
        let found = self.files.read();
        let fingerprint = found.as_ref().map_or_else(|error| hash(&[error.0.as_bytes()]), Pair::fingerprint);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *seen {
            _ if self.is_current(&fingerprint) => {
                *seen = None;
                Ok(Reloaded::Unchanged)
            }
            Some(before) if before.fingerprint == fingerprint => match std::mem::replace(&mut before.is_judged, true) {
                true => Ok(Reloaded::Unchanged),
                false => self.replace(&found?),
            },
            other => {
                *other = Some(Seen { fingerprint, is_judged: false });
                Ok(Reloaded::Awaited)
            }
        }
    }

    fn replace(&self, pair: &Pair) -> Result<Reloaded, InvalidTls> {
        let config = Arc::new(pair.config(&self.files, &self.resumption)?);
        let current = Current { config, fingerprint: pair.fingerprint() };
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = current;
        Ok(Reloaded::Replaced)
    }

    fn is_current(&self, fingerprint: &Fingerprint) -> bool {
        self.current.read().unwrap_or_else(PoisonError::into_inner).fingerprint == *fingerprint
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTls").field("files", &self.files).finish_non_exhaustive()
    }
}

impl CertificateFiles {
    fn read(&self) -> Result<Pair, InvalidTls> {
        Ok(Pair { cert: read("tls.cert", &self.cert)?, key: read("tls.key", &self.key)? })
    }
}

/// The content of both files.
struct Pair {
    cert: Vec<u8>,
    key: Vec<u8>,
}

impl Pair {
    fn fingerprint(&self) -> Fingerprint {
        hash(&[&self.cert, &self.key])
    }

    fn config(&self, files: &CertificateFiles, resumption: &Resumption) -> Result<ServerConfig, InvalidTls> {
        let (cert, key) = (files.cert.display(), files.key.display());
        let chain = CertificateDer::pem_slice_iter(&self.cert).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(|error| InvalidTls(format!("tls.cert: {cert} is not PEM: {error}")))?;
        if chain.is_empty() {
            return Err(InvalidTls(format!("tls.cert: {cert} has no certificate (-----BEGIN CERTIFICATE-----)")));
        }
        let private_key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|error| match error {
            pem::Error::NoItemsFound => InvalidTls(format!(
                "tls.key: {key} has no private key that is not encrypted (-----BEGIN PRIVATE KEY-----)"
            )),
            error => InvalidTls(format!("tls.key: {key} is not PEM: {error}")),
        })?;
        let with_versions = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| InvalidTls(error.to_string()))?;
        let mut config = with_versions.with_no_client_auth().with_single_cert(chain, private_key).map_err(|error| {
            InvalidTls(match error {
                rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                    format!("tls.key: {key} is not the key of the first certificate in {cert}")
                }
                rustls::Error::InvalidCertificate(error) => {
                    format!("tls.cert: the first certificate in {cert} is invalid: {error}")
                }
                error => format!("tls.key: {key} cannot be used with {cert}: {error}"),
            })
        })?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.ticketer = resumption.ticketer.clone();
        config.session_storage = resumption.sessions.clone();
        Ok(config)
    }
}

fn hash(parts: &[&[u8]]) -> Fingerprint {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

fn read(key: &str, path: &Path) -> Result<Vec<u8>, InvalidTls> {
    let invalid = |what: String| InvalidTls(format!("{key}: {} {what}", path.display()));
    let file = File::open(path).map_err(|error| invalid(format!("cannot be opened: {error}")))?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(|error| invalid(format!("cannot be read: {error}")))?;
    match bytes.len() as u64 > MAX_FILE {
        true => Err(invalid(format!("is larger than {MAX_FILE} bytes"))),
        false => Ok(bytes),
    }
}

#[cfg(test)]
pub(crate) mod tests;
