//! Certificates of clients: verified, or only asked for, and compared with names.
//!
//! A client may also have one of the very certificates that others are verified by: whoever has
//! the key of such a one is trusted. rustls takes no authority's certificate of a client, and a
//! certificate that signs itself often says that it is one's.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
};

use super::certificate;
use super::config::{ClientAuth, Tls};

/// What the configuration asks of clients. The roots are those of `client_ca`.
pub fn verifier(
    tls: &Tls,
    roots: Vec<CertificateDer<'static>>,
    provider: &Arc<CryptoProvider>,
) -> anyhow::Result<Arc<dyn ClientCertVerifier>> {
    let unverified = |is_mandatory, is_accepted| -> Arc<dyn ClientCertVerifier> {
        let algorithms = provider.signature_verification_algorithms;
        Arc::new(Unverified { is_mandatory, is_accepted, algorithms })
    };
    let mut trusted = Vec::new();
    let inner = match (tls.client_auth, &tls.client_ca) {
        (ClientAuth::None, _) => return Ok(WebPkiClientVerifier::no_client_auth()),
        (ClientAuth::Request, _) => unverified(false, true),
        (ClientAuth::RequireAny, _) => unverified(true, true),
        // Without anything to verify it by, none that is given holds.
        (ClientAuth::VerifyIfGiven | ClientAuth::RequireAndVerify, None) => {
            unverified(tls.client_auth == ClientAuth::RequireAndVerify, false)
        }
        (auth, Some(ca)) => {
            trusted.clone_from(&roots);
            let mut store = RootCertStore::empty();
            for root in roots {
                store.add(root).map_err(|error| ca.text().wrong(error))?;
            }
            let builder =
                WebPkiClientVerifier::builder_with_provider(store.into(), provider.clone());
            let builder = match auth {
                ClientAuth::VerifyIfGiven => builder.allow_unauthenticated(),
                _ => builder,
            };
            builder.build().map_err(|error| ca.text().wrong(error))?
        }
    };
    Ok(Arc::new(Checked { inner, trusted, allowed: tls.allowed_names.clone() }))
}

/// Takes certificates of whomever, whose key their clients have; or none at all.
#[derive(Debug)]
struct Unverified {
    is_mandatory: bool,
    is_accepted: bool,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for Unverified {
    fn client_auth_mandatory(&self) -> bool {
        self.is_mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if self.is_accepted {
            Ok(ClientCertVerified::assertion())
        } else {
            Err(CertificateError::UnknownIssuer.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Takes the certificates that another takes, and those that are trusted themselves; of all
/// these, where there are names, the ones that have such a name.
#[derive(Debug)]
struct Checked {
    inner: Arc<dyn ClientCertVerifier>,
    trusted: Vec<CertificateDer<'static>>,
    allowed: Vec<String>,
}

impl Checked {
    fn is_trusted(&self, cert: &CertificateDer<'_>, now: UnixTime) -> bool {
        self.trusted.contains(cert)
            && certificate::is_valid_at(cert, now.as_secs()).unwrap_or(false)
    }
}

impl ClientCertVerifier for Checked {
    fn client_auth_mandatory(&self) -> bool {
        self.inner.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        cert: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = match self.inner.verify_client_cert(cert, intermediates, now) {
            Err(_) if self.is_trusted(cert, now) => ClientCertVerified::assertion(),
            result => result?,
        };
        if self.allowed.is_empty() {
            return Ok(verified);
        }
        let names = certificate::names(cert).ok_or(CertificateError::BadEncoding)?;
        if names.iter().any(|name| self.allowed.contains(name)) {
            Ok(verified)
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
