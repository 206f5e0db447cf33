//! The log of mails: a row for every attempt.

use jiff::Timestamp;
use jsonapi::Value;
use serde_json::json;
use store::{StoreError, Tx};

use super::resource::EMAIL_LOGS;
use super::templates::Letter;

/// A row of the log of mails.
#[derive(Clone, Debug)]
pub struct LogEntry {
    /// Sender; none where there was no server.
    pub from: Option<String>,
    /// Recipient.
    pub to: String,
    /// What it said.
    pub letter: Letter,
    /// Name of the file that went with it.
    pub attachment: Option<&'static str>,
    /// Which attempt it was.
    pub attempt: i64,
    /// What the server said.
    pub response: Option<String>,
    /// Why it was not sent; none when it was.
    pub error: Option<String>,
    /// Its Message-ID.
    pub message_id: Option<String>,
    /// Contact, connection, event.
    pub links: Vec<Option<i64>>,
    /// When.
    pub now: Timestamp,
}

impl LogEntry {
    /// Writes it down.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn write(&self, tx: &mut Tx) -> Result<(), StoreError> {
        let text = |text: &Option<String>| text.as_ref().map_or(Value::Null, Value::text);
        let names = self.attachment.map(|name| json!([name]).to_string().into_boxed_str());
        let values = vec![
            text(&self.from),
            Value::text(&self.to),
            Value::text(&self.letter.subject),
            Value::text(&self.letter.text),
            names.map_or(Value::Null, Value::Json),
            Value::Time(self.now),
            if self.error.is_none() { Value::Time(self.now) } else { Value::Null },
            Value::Int(self.attempt),
            text(&self.response),
            text(&self.error),
            text(&self.message_id),
        ];
        tx.insert(&EMAIL_LOGS, values, self.links.clone()).await.map(|_| ())
    }
}
