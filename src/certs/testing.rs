//! Help for tests: certificates as the `openssl` command makes them.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use super::pair::load_certificates;
use super::{Certificate, Layout};

/// Runs `openssl` in `dir`. None, with a word on stderr, where there is no such command.
pub(crate) fn openssl(dir: &Path, arguments: &str) -> Option<Result<String, String>> {
    let Ok(output) = Command::new("openssl").current_dir(dir).args(arguments.split(' ')).output() else {
        eprintln!("SKIPPED: no openssl command on this machine");
        return None;
    };
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Some(if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) })
}

/// Makes a self-signed RSA certificate of X.509 version 1, as the Python tool does; the paths of it and its key (PKCS#1
/// if `pkcs1`). None where there is no `openssl`.
pub(crate) fn v1_rsa(dir: &Path, label: &str, pkcs1: bool) -> Option<(PathBuf, PathBuf)> {
    fs::write(dir.join("v1.conf"), format!("[req]\nprompt=no\ndistinguished_name=dn\n[dn]\nC=US\nO={label}\n"))
        .unwrap();
    let (pem, key) = (format!("{label}.pem"), format!("{label}.key"));
    let request = format!("req -new -newkey rsa:2048 -nodes -keyout {key} -out {label}.csr -config v1.conf");
    openssl(dir, &request)?.unwrap();
    let sign = format!("x509 -req -days 3650 -sha256 -in {label}.csr -signkey {key} -out {pem}");
    openssl(dir, &sign)?.unwrap();
    if pkcs1 {
        openssl(dir, &format!("rsa -traditional -in {key} -out {key}"))?.unwrap();
        assert!(fs::read_to_string(dir.join(&key)).unwrap().contains("BEGIN RSA PRIVATE KEY"));
    }
    let shown = openssl(dir, &format!("x509 -noout -text -in {pem}"))?.unwrap();
    assert!(shown.contains("Version: 1"), "{shown}");
    Some((dir.join(pem), dir.join(key)))
}

/// Does by hand what the Python tool does for a new client: file, link, entry.
pub(crate) fn register(layout: &Layout, name: &str, pem: &str) -> Certificate {
    let path = layout.client_certificate(name);
    fs::write(&path, pem).unwrap();
    let certificate = load_certificates(&path).unwrap().remove(0);
    let link = layout.links().join(format!("{}.0", certificate.subject_hash()));
    symlink(format!("../{name}.pem"), link).unwrap();
    let serial = certificate.serial();
    let list = format!(r#"{{"source_id_2_cert":{{"{name}":"{serial}"}},"cert_2_source_id":{{"{serial}":"{name}"}}}}"#);
    fs::write(layout.names(), list).unwrap();
    certificate
}

/// Now, in Unix seconds.
pub(crate) fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certs::{Pair, create};

    /// A self-signed certificate `c.pem` for the subject in `c.conf`.
    const NEW_EC: &str =
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -utf8 -keyout k -out c.pem -config c.conf";

    /// What openssl prints for serial, hash and fingerprint must be what we think they are.
    fn assert_openssl_agrees(dir: &Path, file: &str) {
        let ours = load_certificates(&dir.join(file)).unwrap().remove(0);
        let theirs =
            openssl(dir, &format!("x509 -noout -hash -serial -sha256 -fingerprint -in {file}")).unwrap().unwrap();
        let lines: Vec<&str> = theirs.lines().collect();
        assert_eq!(lines[0], ours.subject_hash(), "hash of {file}");
        assert_eq!(lines[1], format!("serial={}", ours.serial()), "{file}");
        let fingerprint = lines[2].split('=').nth(1).unwrap().replace(':', "").to_lowercase();
        assert_eq!(fingerprint, ours.fingerprint(), "{file}");
    }

    #[test]
    fn openssl_agrees_on_the_hash_of_any_subject() {
        let dir = tempfile::tempdir().unwrap();
        let subjects = [
            "C=US\nO=company",
            "O=  Two   Words \nCN=MiXeD Case",
            "O=Größe ÀÉ €\nCN=日本語",
            "CN=a@b.c\nemailAddress=Someone@Example.COM",
            "serialNumber=0012\nDC=Example\nDC=org",
            "O=one\n+CN=two\n+OU=three",
            &format!("O={}", "long ".repeat(12)),
            "O=tab\\tand\\\\slash",
        ];
        let mut agreed = 0;
        for subject in subjects {
            // UTF-8, then the choices of older days, then BMPString and UniversalString alone.
            for mask in ["utf8only", "nombstr", "default", "MASK:0x800", "MASK:0x100"] {
                let conf = format!("[req]\nprompt=no\nutf8=yes\nstring_mask={mask}\ndistinguished_name=dn\n[dn]\n");
                fs::write(dir.path().join("c.conf"), conf + subject + "\n").unwrap();
                match openssl(dir.path(), NEW_EC) {
                    None => return,
                    // Not every text can be written in every kind of string.
                    Some(Err(_)) if mask != "utf8only" => {}
                    Some(Err(e)) => panic!("{subject} {mask}: {e}"),
                    Some(Ok(_)) => {
                        assert_openssl_agrees(dir.path(), "c.pem");
                        agreed += 1;
                    }
                }
            }
        }
        assert!(agreed > 25, "{agreed}");
    }

    #[test]
    fn openssl_agrees_on_any_serial() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("c.conf"), "[req]\nprompt=no\ndistinguished_name=dn\n[dn]\nO=x\n").unwrap();
        for serial in
            ["1", "0x80", "0x0A00", "0xFF00112233445566778899AABBCCDDEEFF001122", "0x7F01", "0", "-5", "-0x100"]
        {
            match openssl(dir.path(), &format!("{NEW_EC} -set_serial {serial}")) {
                None => return,
                Some(made) => made.unwrap_or_else(|e| panic!("{serial}: {e}")),
            };
            assert_openssl_agrees(dir.path(), "c.pem");
        }
    }

    #[test]
    fn version_1_certificates_and_both_kinds_of_rsa_keys_are_loaded() {
        let dir = tempfile::tempdir().unwrap();
        for (label, pkcs1) in [("one", true), ("eight", false)] {
            let Some((pem, key)) = v1_rsa(dir.path(), label, pkcs1) else { return };
            Pair::load(&pem, &key, now()).unwrap();
            assert_openssl_agrees(dir.path(), &format!("{label}.pem"));
        }
    }

    #[test]
    fn sec1_keys_and_what_openssl_prints_before_a_certificate_are_no_hindrance() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("c.conf"), "[req]\nprompt=no\ndistinguished_name=dn\n[dn]\nO=x\n").unwrap();
        if openssl(dir.path(), "ecparam -name prime256v1 -genkey -out k.pem").is_none() {
            return;
        }
        openssl(dir.path(), "req -x509 -key k.pem -out c.pem -config c.conf").unwrap().unwrap();
        openssl(dir.path(), "x509 -text -in c.pem -out t.pem").unwrap().unwrap();
        Pair::load(&dir.path().join("t.pem"), &dir.path().join("k.pem"), now()).unwrap();
    }

    #[test]
    fn an_encrypted_key_is_named_as_such() {
        let dir = tempfile::tempdir().unwrap();
        let Some((pem, key)) = v1_rsa(dir.path(), "a", false) else { return };
        openssl(dir.path(), "pkcs8 -topk8 -v2 aes-256-cbc -passout pass:secret -in a.key -out a.enc").unwrap().unwrap();
        let error = Pair::load(&pem, &key.with_extension("enc"), now()).unwrap_err().to_string();
        assert!(error.contains("without passphrase") && error.contains("ENCRYPTED PRIVATE KEY"), "{error}");
    }

    #[test]
    fn openssl_trusts_what_create_makes_even_when_it_is_strict() {
        for ca in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            create(dir.path(), ca).unwrap();
            let folder = "certificates/server/client-certs";
            for purpose in ["sslclient", "sslserver"] {
                let verify = format!("verify -x509_strict -purpose {purpose} -no-CAfile -no-CApath -no-CAstore");
                let by_folder = format!("{verify} -CApath {folder}/symlinks {folder}/default.pem");
                match openssl(dir.path(), &by_folder) {
                    None => return,
                    Some(verified) => verified.unwrap(),
                };
                let pem = "certificates/server/server-cert/server.pem";
                openssl(dir.path(), &format!("{verify} -CAfile {pem} {pem}")).unwrap().unwrap();
            }
            let layout = Layout::new(dir.path());
            let default = layout.client_certificate("default");
            let default = default.strip_prefix(dir.path()).unwrap().to_str().unwrap();
            assert_openssl_agrees(dir.path(), default);
        }
    }
}
