use std::fs;

use proptest::prelude::*;
use uuid::Uuid;

use super::*;

#[path = "../../tests/common/certificate.rs"]
#[allow(unreachable_pub, reason = "other tests import it too")]
pub(crate) mod certificate;

use certificate::{CERTIFICATE, KEY};

/// A folder with a certificate and its key, which are removed when this is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("handclasp-{}", Uuid::new_v4()));
        fs::create_dir(&folder).unwrap();
        certificate::create(&folder);
        Self(folder)
    }

    fn config(&self) -> Tls {
        let (cert, key) = (Some(self.0.join(CERTIFICATE)), Some(self.0.join(KEY)));
        Tls { cert, key, ..crate::Config::default().tls }
    }

    fn read(&self) -> (Vec<u8>, Vec<u8>) {
        (fs::read(self.0.join(CERTIFICATE)).unwrap(), fs::read(self.0.join(KEY)).unwrap())
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.0.join(name), bytes).unwrap();
    }

    fn error(&self) -> String {
        let error = ServerTls::from_config(&self.config()).expect_err("the files cannot be used").to_string();
        error.replace(&*self.0.to_string_lossy(), "F")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn files_that_cannot_be_used_are_named_with_what_is_wrong() {
    let (folder, other) = (Folder::new(), Folder::new());
    let (cert, key) = folder.read();
    for (name, content, expected) in [
        (CERTIFICATE, &b""[..], "tls.cert: F/certificate.pem has no certificate (-----BEGIN CERTIFICATE-----)"),
        (CERTIFICATE, &key, "tls.cert: F/certificate.pem has no certificate (-----BEGIN CERTIFICATE-----)"),
        (
            CERTIFICATE,
            b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "tls.cert: the first certificate in F/certificate.pem is invalid: BadEncoding",
        ),
        (KEY, &cert, "tls.key: F/key.pem has no private key that is not encrypted (-----BEGIN PRIVATE KEY-----)"),
        (KEY, &other.read().1, "tls.key: F/key.pem is not the key of the first certificate in F/certificate.pem"),
        (KEY, &vec![b'x'; 1024 * 1024 + 1], "tls.key: F/key.pem is larger than 1048576 bytes"),
    ] {
        folder.write(name, content);
        assert_eq!(folder.error(), expected);
        folder.write(CERTIFICATE, &cert);
        folder.write(KEY, &key);
    }
    fs::remove_file(folder.0.join(KEY)).unwrap();
    assert_eq!(folder.error(), "tls.key: F/key.pem cannot be opened: No such file or directory (os error 2)");
}

#[test]
fn a_pair_that_is_read_twice_is_used_and_a_half_written_one_is_not() {
    let (folder, other) = (Folder::new(), Folder::new());
    let tls = ServerTls::from_config(&folder.config()).unwrap().unwrap();
    let first = tls.config();
    assert_eq!(tls.reload_if_settled(), Ok(Reloaded::Unchanged));
    let (cert, key) = other.read();
    folder.write(CERTIFICATE, cert);
    assert_eq!(tls.reload_if_settled(), Ok(Reloaded::Awaited), "the key is not written yet");
    folder.write(KEY, key);
    assert_eq!(tls.reload_if_settled(), Ok(Reloaded::Awaited), "the pair is new");
    assert!(Arc::ptr_eq(&first, &tls.config()));
    assert_eq!(tls.reload_if_settled(), Ok(Reloaded::Replaced));
    assert!(!Arc::ptr_eq(&first, &tls.config()));
    assert_eq!(tls.reload_if_settled(), Ok(Reloaded::Unchanged));
}

#[test]
fn a_pair_that_cannot_be_used_is_reported_once_and_changes_nothing() {
    let folder = Folder::new();
    let tls = ServerTls::from_config(&folder.config()).unwrap().unwrap();
    let (first, (cert, _)) = (tls.config(), folder.read());
    folder.write(CERTIFICATE, "");
    assert_eq!(tls.reload_if_settled(), Ok(Reloaded::Awaited));
    assert!(tls.reload_if_settled().is_err());
    assert_eq!(tls.reload_if_settled(), Ok(Reloaded::Unchanged));
    assert!(tls.reload().is_err(), "an operator who asks is always told");
    fs::remove_file(folder.0.join(CERTIFICATE)).unwrap();
    assert_eq!(tls.reload_if_settled(), Ok(Reloaded::Awaited));
    assert!(tls.reload_if_settled().is_err());
    folder.write(CERTIFICATE, cert);
    assert_eq!(tls.reload(), Ok(Reloaded::Unchanged));
    assert!(Arc::ptr_eq(&first, &tls.config()));
}

#[test]
fn nothing_of_the_key_is_printed() {
    let folder = Folder::new();
    let key = String::from_utf8(folder.read().1).unwrap();
    let secret = key.lines().nth(1).unwrap();
    let tls = ServerTls::from_config(&folder.config()).unwrap();
    assert!(!format!("{tls:?}").contains(secret));
    folder.write(KEY, format!("-----BEGIN PRIVATE KEY-----\n{secret}\n-----END PRIVATE KEY-----\n"));
    assert!(!folder.error().contains(secret));
}

proptest! {
    /// Any files give a configuration or an error.
    #[test]
    fn no_bytes_panic(cert in "(-----(BEGIN|END) [A-Z ]{0,12}-----|[A-Za-z0-9+/=\n-]){0,20}", key in any::<Vec<u8>>()) {
        let resumption = Resumption { ticketer: Ticketer::new().unwrap(), sessions: ServerSessionMemoryCache::new(1) };
        let files = CertificateFiles { cert: "cert".into(), key: "key".into() };
        let pair = Pair { cert: cert.into_bytes(), key };
        prop_assert!(pair.config(&files, &resumption).is_err());
    }
}
