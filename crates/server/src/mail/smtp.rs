//! One conversation with a mail server.
//!
//! Its stages are told apart, because they fail differently: what goes wrong before the message is
//! about the server and may be mended; what the server says of the message is about the message.

use std::io;
use std::time::Duration;

use jsonapi::Record;
use lettre::Address;
use lettre::address::Envelope;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::response::Response;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::rustls;

use super::facts::clean_line;
use super::wary::Wary;
use crate::app::App;
use crate::smtp_connections::SMTP_CONNECTIONS;

/// How long the server may take to accept a connection.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);
/// How long a whole conversation may take.
const CONVERSATION_TIME_MAX: Duration = Duration::from_mins(1);
/// How long the server is waited for when all is said.
const FAREWELL_TIME_MAX: Duration = Duration::from_secs(5);
/// Characters of what a server says that are kept.
const ANSWER_CHARS_MAX: usize = 1_000;
/// A message is not taken because of who sends it, not of what it is (RFC 4954).
const SIGN_IN_CODES: &[u16] = &[530, 534, 535, 538];
/// How passwords are told; the server chooses.
const MECHANISMS: &[Mechanism] = &[Mechanism::Plain, Mechanism::Login];

/// A mail server, ready to be talked to.
pub struct Server {
    host: String,
    port: u16,
    /// Who the mails are from.
    pub sender: Address,
    login: Option<Credentials>,
    encryption: Encryption,
}

/// When a connection is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encryption {
    /// If the server can, whoever it is.
    Opportunistic,
    /// Always, after `STARTTLS`, with a server that proves who it is.
    Required,
    /// The same from the first byte.
    Implicit,
    /// Never.
    Never,
}

/// What a server said, with its code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The code, 200 to 599.
    pub code: u16,
    /// Code and text, on one line.
    pub line: String,
}

/// Why a server has not taken a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Stage and reason.
    pub reason: String,
    /// What the server said, if it did.
    pub answer: Option<Answer>,
    /// Whether it will never take this message.
    pub is_final: bool,
}

impl Trouble {
    fn of(stage: &str, reason: impl std::fmt::Display) -> Self {
        let reason = format!("{stage}: {reason}");
        Self { reason, answer: None, is_final: false }
    }
}

impl Server {
    /// The server of an SMTP connection.
    ///
    /// # Errors
    /// Why this connection cannot be used.
    pub fn of(app: &App, connection: &Record) -> Result<Self, String> {
        let value = |name| SMTP_CONNECTIONS.value(connection, name);
        let text = |name| value(name).as_text();
        let sender = text("from-address").unwrap_or_default();
        let sender = address(sender).ok_or_else(|| format!("{sender:?} is not a sender"))?;
        let login = match text("auth-user") {
            Some(user) if !user.is_empty() => {
                let password = text("auth-password").map(|sealed| app.open_text(sealed));
                let password = password.unwrap_or_else(|| Some(String::new()));
                let unreadable = "the password was encrypted with another secret: set it again";
                Some(Credentials::new(user.to_owned(), password.ok_or(unreadable)?))
            }
            _ => None,
        };
        let port = value("port").as_int().and_then(|port| u16::try_from(port).ok());
        Ok(Self {
            host: text("host").unwrap_or_default().trim().to_owned(),
            port: port.unwrap_or(25),
            sender,
            login,
            encryption: match text("tls-mode") {
                Some("required") => Encryption::Required,
                Some("implicit") => Encryption::Implicit,
                Some("none") => Encryption::Never,
                _ => Encryption::Opportunistic,
            },
        })
    }

    /// Hands a message over.
    ///
    /// # Errors
    /// Why the server has not taken it.
    pub async fn send(&self, to: &Address, message: &[u8]) -> Result<Answer, Trouble> {
        let until = Instant::now() + CONVERSATION_TIME_MAX;
        let envelope = Envelope::new(Some(self.sender.clone()), vec![to.clone()])
            .map_err(|error| Trouble::of("message", error))?;
        let mut connection = self.connect(until).await?;
        let sent = self.converse(&mut connection, &envelope, message, until).await;
        if sent.is_ok() {
            // Nobody has to wait for the goodbye.
            tokio::spawn(async move { timeout(FAREWELL_TIME_MAX, connection.quit()).await });
        }
        sent
    }

    async fn connect(&self, until: Instant) -> Result<AsyncSmtpConnection, Trouble> {
        let (hello, address) = (self.hello(), (self.host.as_str(), self.port));
        if self.encryption == Encryption::Implicit {
            let (patience, tls) = (Some(CONNECT_TIME_MAX), Some(self.tls(true)?));
            let connecting =
                AsyncSmtpConnection::connect_tokio1(address, patience, &hello, tls, None);
            return stage("connect", until, connecting).await;
        }
        let Ok(connected) = timeout(CONNECT_TIME_MAX, TcpStream::connect(address)).await else {
            let secs = CONNECT_TIME_MAX.as_secs();
            return Err(Trouble::of("connect", format_args!("no connection within {secs} s")));
        };
        let stream = connected
            // A message and its end are sent apart: the second is not to wait 40 ms for the first.
            .and_then(|stream| stream.set_nodelay(true).map(|()| stream))
            .map_err(|error| Trouble::of("connect", cut(&error.to_string())))?;
        let stream = Box::new(Wary::over(stream));
        stage("connect", until, AsyncSmtpConnection::connect_with_transport(stream, &hello)).await
    }

    async fn converse(
        &self,
        connection: &mut AsyncSmtpConnection,
        envelope: &Envelope,
        message: &[u8],
        until: Instant,
    ) -> Result<Answer, Trouble> {
        let is_strict = self.encryption == Encryption::Required;
        if matches!(self.encryption, Encryption::Opportunistic | Encryption::Required)
            && connection.can_starttls()
        {
            let hello = self.hello();
            stage("TLS", until, connection.starttls(self.tls(is_strict)?, &hello)).await?;
        }
        if is_strict && !connection.is_encrypted() {
            return Err(Trouble::of("TLS", "the server offers no STARTTLS"));
        }
        if let Some(login) = &self.login {
            let signing_in = stage("sign-in", until, connection.auth(MECHANISMS, login));
            signing_in.await.map_err(without_secrets)?;
        }
        let response = stage("message", until, connection.send(envelope, message)).await?;
        Ok(answer_of(&response))
    }

    /// What TLS asks of the server: to be who it says, by the system's roots, if `is_strict`.
    fn tls(&self, is_strict: bool) -> Result<TlsParameters, Trouble> {
        TlsParameters::builder(self.host.clone())
            .dangerous_accept_invalid_certs(!is_strict)
            .build()
            .map_err(|error| Trouble::of("TLS", reason(&error)))
    }

    /// How we introduce ourselves.
    fn hello(&self) -> ClientId {
        let domain = self.sender.domain();
        if domain.is_ascii() { ClientId::Domain(domain.to_owned()) } else { ClientId::default() }
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Server({}:{})", self.host, self.port)
    }
}

/// Waits for a stage of the conversation, as long as the conversation may take.
async fn stage<T>(
    name: &'static str,
    until: Instant,
    step: impl Future<Output = Result<T, Error>>,
) -> Result<T, Trouble> {
    let Ok(done) = timeout_at(until, step).await else {
        let secs = CONVERSATION_TIME_MAX.as_secs();
        return Err(Trouble::of(name, format_args!("no answer within {secs} s")));
    };
    done.map_err(|error| {
        let name = if is_about_tls(&error) { "TLS" } else { name };
        let answer = error.status().map(|code| {
            let code = u16::from(code);
            Answer { code, line: cut(&format!("{code} {}", reason(&error))) }
        });
        let told = answer.as_ref().map_or_else(|| reason(&error), |answer| answer.line.clone());
        // The client refuses only what this server cannot be told: an address beyond ASCII.
        let is_refused = match &answer {
            Some(Answer { code, .. }) => error.is_permanent() && !SIGN_IN_CODES.contains(code),
            None => error.is_client(),
        };
        Trouble { answer, is_final: name == "message" && is_refused, ..Trouble::of(name, told) }
    })
}

/// A server that refuses a password may say it again. So of its words only the code is kept.
fn without_secrets(trouble: Trouble) -> Trouble {
    let Some(answer) = trouble.answer else { return trouble };
    let line = format!("{} (user name or password refused)", answer.code);
    Trouble {
        answer: Some(Answer { line: line.clone(), ..answer }),
        ..Trouble::of("sign-in", line)
    }
}

fn answer_of(response: &Response) -> Answer {
    let code = u16::from(response.code());
    let text: Vec<&str> = response.message().collect();
    Answer { code, line: cut(&format!("{code} {}", text.join(" "))) }
}

/// The error and what caused it, the innermost last.
fn chain(error: &Error) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    let outermost: &(dyn std::error::Error + 'static) = error;
    std::iter::successors(Some(outermost), |error| error.source())
}

/// The innermost words for it; those around them only name the kind of error.
fn reason(error: &Error) -> String {
    cut(&chain(error).last().map_or_else(String::new, ToString::to_string))
}

/// Whether the two did not come to speak TLS: that is found inside an error of the connection.
fn is_about_tls(error: &Error) -> bool {
    error.is_tls()
        || chain(error)
            .filter_map(|error| error.downcast_ref::<io::Error>()?.get_ref())
            .any(<dyn std::error::Error + Send + Sync>::is::<rustls::Error>)
}

fn cut(text: &str) -> String {
    clean_line(text).chars().take(ANSWER_CHARS_MAX).collect()
}

/// The address that a text is: one, and nothing around it but blanks.
#[must_use]
pub fn address(text: &str) -> Option<Address> {
    let text = text.trim();
    if text.contains(|c: char| c.is_whitespace() || c.is_control() || "<>,;\"\\()[]".contains(c)) {
        return None;
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nobody_is_waited_for_beyond_the_end_of_a_conversation() {
        let silent = std::future::pending::<Result<(), Error>>();
        let trouble = stage("message", Instant::now(), silent).await.unwrap_err();
        assert_eq!(trouble, Trouble::of("message", "no answer within 60 s"));
        assert!(!trouble.is_final, "it may answer another time");
    }

    #[test]
    fn an_address_is_one_address() {
        for good in ["noc@example.com", " a.b+c@mail.example.co ", "юрий@пример.укр", "a@localhost"]
        {
            assert!(address(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "noc",
            "noc@",
            "@example.com",
            "a@example.com, b@example.com",
            "a@example.com,b@example.com",
            "a@example.com;b@example.com",
            "Bob <bob@example.com>",
            "<bob@example.com>",
            "a b@example.com",
            "\"a b\"@example.com",
            "a@example.com\r\nBcc: x@example.com",
            "a\r\n@example.com",
            "a@example.com>\r\nRCPT TO:<x@example.com",
            "a@[127.0.0.1]",
            "a\u{0}@example.com",
            "a\u{2028}@example.com",
        ] {
            assert!(address(bad).is_none(), "{bad:?}");
        }
    }
}
