//! Who may take part in a cluster: whoever has its credentials. All connections are then encrypted, and both ends of
//! each show the cluster's certificate (mutual TLS).

use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use ballista_core::extension::EndpointOverrideFn;
use clap::Args;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity, ServerTlsConfig};

/// The name in the certificate, whatever the machines are called.
const NAME: &str = "facefold-cluster";

const AUTHORITY: &str = "authority.pem";
const CERTIFICATE: &str = "certificate.pem";
const KEY: &str = "key.pem";

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(20);

/// A connection that is silent for so long is asked whether it is still there.
const SILENT: Duration = Duration::from_secs(30);

/// Options of everything that takes part in a cluster.
#[derive(Debug, Args, Clone)]
pub struct CredentialsArguments {
    /// Directory that `facefold-cluster credentials` made, the same for all parts of the cluster. Whoever lacks it
    /// cannot connect.
    #[arg(long, value_name = "DIR", env = "FACEFOLD_CLUSTER_CREDENTIALS")]
    credentials: Option<PathBuf>,
}

impl CredentialsArguments {
    /// The credentials, where they are given.
    ///
    /// # Errors
    /// Files that are missing, or hold something else.
    pub fn read(&self) -> Result<Option<Credentials>> {
        self.credentials.as_deref().map(Credentials::read).transpose()
    }
}

/// Options of what listens.
#[derive(Debug, Args)]
pub struct ListenArguments {
    #[command(flatten)]
    credentials: CredentialsArguments,
    /// Listen to other machines without --credentials: everyone who reaches the address can run queries and read
    /// files. For networks that no one else reaches.
    #[arg(long)]
    insecure: bool,
}

impl ListenArguments {
    /// The credentials, which addresses that other machines reach must have.
    ///
    /// # Errors
    /// As [`CredentialsArguments::read`], or where they are missing.
    pub fn read(&self, listen: SocketAddr) -> Result<Option<Credentials>> {
        let credentials = self.credentials.read()?;
        if credentials.is_none() && !listen.ip().is_loopback() && !self.insecure {
            bail!(
                "--listen {listen}: other machines reach this address, and everyone who does could run queries and \
                 read files; give --credentials DIR (`facefold-cluster credentials DIR` makes one), or --insecure"
            );
        }
        Ok(credentials)
    }
}

/// A certificate that all parts of a cluster show and expect, and its key.
#[derive(Clone)]
pub struct Credentials {
    authority: Certificate,
    identity: Identity,
}

impl Credentials {
    fn read(directory: &Path) -> Result<Self> {
        let read = |name: &str| {
            let path = directory.join(name);
            std::fs::read(&path)
                .with_context(|| format!("--credentials: cannot read `{}`", path.display()))
        };
        // Several libraries bring a provider of their own; one has to be chosen.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let credentials = Self {
            authority: Certificate::from_pem(read(AUTHORITY)?),
            identity: Identity::from_pem(read(CERTIFICATE)?, read(KEY)?),
        };
        // Files that hold something else are found here, not at the first connection.
        (credentials.endpoint())(Endpoint::from_static("http://localhost"))
            .map_err(|error| anyhow::anyhow!("--credentials `{}`: {error}", directory.display()))?;
        Ok(credentials)
    }

    /// Makes credentials in a directory.
    ///
    /// # Errors
    /// Files that are there already, or cannot be written.
    pub fn create(directory: &Path) -> Result<()> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        // The authority's own key is forgotten: it signs this one certificate.
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let key = KeyPair::generate()?;
        let certificate =
            CertificateParams::new(vec![NAME.to_owned()])?.signed_by(&key, &authority)?;
        std::fs::create_dir_all(directory)
            .with_context(|| format!("cannot make `{}`", directory.display()))?;
        for (name, text) in [
            (AUTHORITY, authority.pem()),
            (CERTIFICATE, certificate.pem()),
            (KEY, key.serialize_pem()),
        ] {
            let path = directory.join(name);
            let mut options = OpenOptions::new();
            options.write(true).create_new(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            let mut file = options.open(&path).with_context(|| {
                format!("cannot make `{}`; give a new directory", path.display())
            })?;
            file.write_all(text.as_bytes())?;
        }
        Ok(())
    }

    /// What a server shows, and expects of clients.
    pub fn server(&self) -> ServerTlsConfig {
        ServerTlsConfig::new()
            .identity(self.identity.clone())
            .client_ca_root(self.authority.clone())
    }

    /// What makes a client's connection an encrypted one.
    pub fn endpoint(&self) -> EndpointOverrideFn {
        let tls = ClientTlsConfig::new()
            .ca_certificate(self.authority.clone())
            .identity(self.identity.clone())
            .domain_name(NAME);
        Arc::new(move |endpoint: Endpoint| {
            let address = endpoint.uri().to_string();
            let address = address
                .strip_prefix("http://")
                .map(|rest| format!("https://{rest}"))
                .unwrap_or(address);
            Ok(Endpoint::from_shared(address)?
                .tls_config(tls.clone())?
                .connect_timeout(CONNECT)
                .tcp_nodelay(true)
                .http2_keep_alive_interval(SILENT)
                .keep_alive_timeout(CONNECT)
                .keep_alive_while_idle(true))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Credentials;

    #[test]
    fn credentials_are_made_once_and_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("credentials");
        Credentials::create(&path).unwrap();
        Credentials::read(&path).unwrap();
        let error = Credentials::create(&path).unwrap_err();
        assert!(error.to_string().contains("authority.pem"), "{error}");
        std::fs::write(path.join("key.pem"), "no key").unwrap();
        assert!(Credentials::read(&path).is_err());
    }
}
