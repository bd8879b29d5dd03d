//! TLS for the stacks that accept a stream: rustls with its default provider (aws-lc-rs), as in bezant.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use tokio::io::BufReader;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::Failure;

/// A TLS stream over a TCP stream with a read buffer.
pub type Tls = TlsStream<BufReader<TcpStream>>;

/// rustls reads the socket in pieces of 4 KiB at first; a buffer below it saves system calls.
const READ_BUFFER: usize = 256 * 1024;

/// Opens TLS on `tcp`, and trusts only the certificates in `cafile`.
///
/// # Errors
/// If the file has no certificate, or none of its certificates has signed that of the server.
pub async fn open(tcp: TcpStream, host: &str, cafile: Option<&Path>) -> Result<Tls, Failure> {
    let cafile = cafile.ok_or("wss needs --cafile PATH")?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(cafile)? {
        roots.add(certificate?)?;
    }
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let name = match host.parse::<IpAddr>() {
        Ok(address) => ServerName::from(address),
        Err(_) => ServerName::try_from(host.to_owned())?,
    };
    let buffered = BufReader::with_capacity(READ_BUFFER, tcp);
    Ok(TlsConnector::from(Arc::new(config)).connect(name, buffered).await?)
}
