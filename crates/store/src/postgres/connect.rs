//! How a PostgreSQL server is reached: its URL, TLS, time limits.
//!
//! The URL is libpq's (PostgreSQL documentation, 34.1.1 and 34.19.1), several hosts included, and
//! `sslmode` means what it means there.

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Hook, HookError, Manager, ManagerConfig, RecyclingMethod, Runtime};
use percent_encoding::percent_decode_str;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{Client, Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::client::{
    WebPkiServerVerifier, verify_server_cert_signed_by_trust_anchor,
};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::{
    ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore, SignatureScheme,
};

use super::pool::{Pool, Renewal};
use crate::error::{OpenError, full_reason};

/// How long one host may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a caller waits for a connection, all hosts tried.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// After how long without an acknowledgement a connection counts as lost.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// Time between two questions whether a silent server is there, from then on. Without these, the
/// system asks the second time after 75 seconds.
const PROBE_PAUSE: Duration = Duration::from_secs(3);
/// So many of them may remain unanswered.
const PROBES_MAX: u32 = 3;

/// The `sslrootcert` that stands for the roots of the system.
const SYSTEM_ROOTS: &str = "system";

/// Where a database is, and how connections to it are made.
#[derive(Clone)]
pub struct Server {
    config: Config,
    tls: Tls,
    statement_timeout: Duration,
    renewal: Renewal,
}

#[derive(Clone)]
enum Tls {
    None,
    Rustls(MakeRustlsConnect),
}

/// What of a server's certificate is checked: libpq's `sslmode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Check {
    Nothing,
    Authority,
    AuthorityAndName,
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Any query.
    Anything,
    /// Rows by their keys.
    SingleRows,
}

/// To compile a plan takes longer than any of our queries.
const NO_COMPILER: &str = "SET jit = off";
/// Rows are found by an index, whatever PostgreSQL believes of a table that was empty a moment ago;
/// and no plan is made twice.
const SINGLE_ROWS: &str =
    "SET jit = off; SET enable_seqscan = off; SET plan_cache_mode = force_generic_plan";

impl Server {
    /// Reads a URL. Of the parameters that tokio-postgres does not know, `sslmode=verify-ca`,
    /// `sslmode=verify-full` and `sslrootcert` are understood here.
    ///
    /// # Errors
    /// One line for the operator: which part of the URL is wrong, or which file of roots.
    pub fn of(url: &str, statement_timeout: Duration) -> Result<Self, OpenError> {
        let (bare, params) = url.split_once('?').unwrap_or((url, ""));
        let (mut kept, mut check, mut roots) = (Vec::new(), None, None);
        for param in params.split('&').filter(|param| !param.is_empty()) {
            match param.split_once('=') {
                Some(("sslmode", "verify-ca")) => check = Some(Check::Authority),
                Some(("sslmode", "verify-full")) => check = Some(Check::AuthorityAndName),
                Some(("sslrootcert", path)) => {
                    roots = Some(percent_decode_str(path).decode_utf8_lossy().into_owned());
                }
                _ => kept.push(param),
            }
        }
        let text = format!("{bare}?{}", kept.join("&"));
        let mut config: Config =
            text.parse().map_err(|error| OpenError::Url(full_reason(&error)))?;
        if check.is_some() || roots.as_deref() == Some(SYSTEM_ROOTS) {
            config.ssl_mode(SslMode::Require);
        }
        let check = check.unwrap_or(match (config.get_ssl_mode(), roots.as_deref()) {
            // As libpq: anybody can have a certificate that the system trusts.
            (SslMode::Require, Some(SYSTEM_ROOTS)) => Check::AuthorityAndName,
            // As libpq: with roots at hand, `require` checks the authority.
            (SslMode::Require, Some(_)) => Check::Authority,
            _ => Check::Nothing,
        });
        // As libpq: no TLS through a socket file.
        let hosts = config.get_hosts();
        if !hosts.is_empty() && hosts.iter().all(|host| matches!(host, Host::Unix(_))) {
            config.ssl_mode(SslMode::Disable);
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(SILENCE_MAX);
        }
        if !text.contains("keepalives_idle=") {
            config.keepalives_idle(SILENCE_MAX);
        }
        if config.get_keepalives_interval().is_none() {
            config.keepalives_interval(PROBE_PAUSE);
        }
        if config.get_keepalives_retries().is_none() {
            config.keepalives_retries(PROBES_MAX);
        }
        if config.get_application_name().is_none() {
            config.application_name("tollkeeper");
        }
        let tls = match config.get_ssl_mode() {
            SslMode::Disable => Tls::None,
            _ => Tls::Rustls(rustls(check, roots.as_deref())?),
        };
        Ok(Self { config, tls, statement_timeout, renewal: Renewal::default() })
    }

    /// The hosts, for messages.
    pub fn place(&self) -> String {
        let hosts = self.config.get_hosts().iter().map(|host| match host {
            Host::Tcp(name) => name.clone(),
            Host::Unix(path) => path.display().to_string(),
        });
        hosts.collect::<Vec<_>>().join(", ")
    }

    /// One connection, driven until it is dropped.
    pub async fn client(&self) -> Result<Client, tokio_postgres::Error> {
        match &self.tls {
            Tls::None => {
                let (client, connection) = self.config.connect(NoTls).await?;
                tokio::spawn(connection);
                Ok(client)
            }
            Tls::Rustls(tls) => {
                let (client, connection) = self.config.connect(tls.clone()).await?;
                tokio::spawn(connection);
                Ok(client)
            }
        }
    }

    /// Up to `size` connections, made when needed. Each ends statements that take longer than the
    /// server's statement timeout.
    pub fn pool(&self, size: usize, asked: Asked) -> Result<Pool, OpenError> {
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = match &self.tls {
            Tls::None => Manager::from_config(self.config.clone(), NoTls, recycling),
            Tls::Rustls(tls) => Manager::from_config(self.config.clone(), tls.clone(), recycling),
        };
        let settings = format!(
            "SET statement_timeout = {}; SET client_min_messages = warning",
            self.statement_timeout.as_millis()
        );
        let plans = match asked {
            Asked::Anything => NO_COMPILER,
            Asked::SingleRows => SINGLE_ROWS,
        };
        let builder = deadpool_postgres::Pool::builder(manager)
            .max_size(size)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(WAIT_MAX))
            .create_timeout(Some(WAIT_MAX))
            .post_create(Hook::async_fn(move |client, _| {
                let settings = settings.clone();
                Box::pin(async move {
                    client.batch_execute(&settings).await.map_err(HookError::Backend)?;
                    // An engine that does not know these plans in its own way.
                    let _ = client.batch_execute(plans).await;
                    Ok(())
                })
            }));
        Pool::new(builder, self.renewal.clone())
    }
}

fn rustls(check: Check, roots: Option<&str>) -> Result<MakeRustlsConnect, OpenError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| OpenError::Url(error.to_string()))?;
    let config = match check {
        Check::Nothing => {
            let verifier = Arc::new(Lenient { provider, roots: None });
            builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()
        }
        Check::Authority => {
            let verifier = Arc::new(Lenient { provider, roots: Some(root_store(roots)?) });
            builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()
        }
        Check::AuthorityAndName => {
            let verifier =
                WebPkiServerVerifier::builder_with_provider(Arc::new(root_store(roots)?), provider)
                    .build()
                    .map_err(|error| {
                        OpenError::Url(format!("no usable root certificate: {error}"))
                    })?;
            builder.with_webpki_verifier(verifier).with_no_client_auth()
        }
    };
    Ok(MakeRustlsConnect::new(config))
}

/// The given roots, or the system's.
fn root_store(path: Option<&str>) -> Result<RootCertStore, OpenError> {
    let mut store = RootCertStore::empty();
    match path {
        Some(path) if path != SYSTEM_ROOTS => {
            let failed = |reason: String| OpenError::Url(format!("sslrootcert {path}: {reason}"));
            let certificates =
                CertificateDer::pem_file_iter(path).map_err(|error| failed(error.to_string()))?;
            for certificate in certificates {
                let certificate = certificate.map_err(|error| failed(error.to_string()))?;
                store.add(certificate).map_err(|error| failed(error.to_string()))?;
            }
            if store.is_empty() {
                return Err(failed("there is no certificate in it".to_owned()));
            }
        }
        _ => {
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    Ok(store)
}

/// Checks less than rustls would: the authority without the name (`verify-ca`), or nothing but
/// that the server holds the key of its certificate (`prefer`, `require`).
#[derive(Debug)]
struct Lenient {
    provider: Arc<CryptoProvider>,
    roots: Option<RootCertStore>,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        if let Some(roots) = &self.roots {
            let certificate = ParsedCertificate::try_from(end_entity)?;
            let algorithms = self.provider.signature_verification_algorithms.all;
            verify_server_cert_signed_by_trust_anchor(
                &certificate,
                roots,
                intermediates,
                now,
                algorithms,
            )?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl std::fmt::Debug for Server {
    /// Without the password.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Server").field("place", &self.place()).finish_non_exhaustive()
    }
}
