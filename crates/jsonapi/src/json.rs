//! Values as JSON, byte by byte as the contract has them (protocol 4.1 and 4.4).

use std::fmt;

use jiff::Timestamp;

use crate::value::Value;

pub(crate) fn write_quoted_int(out: &mut Vec<u8>, int: i64) {
    out.push(b'"');
    write_int(out, int);
    out.push(b'"');
}

fn write_int(out: &mut Vec<u8>, int: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(int).as_bytes());
}

/// Writes a value as JSON, as it stands in documents.
pub fn write_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Int(int) => write_int(out, *int),
        Value::Decimal(decimal) => {
            let mut buffer = [0; decimal::TEXT_LEN_MAX];
            out.push(b'"');
            out.extend_from_slice(decimal.write_to(&mut buffer).as_bytes());
            out.push(b'"');
        }
        Value::Text(text) => write_string(out, text),
        Value::Uuid(uuid) => {
            let mut buffer = uuid::Uuid::encode_buffer();
            out.push(b'"');
            out.extend_from_slice(uuid.hyphenated().encode_lower(&mut buffer).as_bytes());
            out.push(b'"');
        }
        Value::Time(time) => {
            out.push(b'"');
            out.extend_from_slice(timestamp_text(*time).as_bytes());
            out.push(b'"');
        }
        Value::Ids(ids) => {
            out.push(b'[');
            for (position, id) in ids.iter().enumerate() {
                if position > 0 {
                    out.push(b',');
                }
                write_int(out, *id);
            }
            out.push(b']');
        }
        Value::Json(json) => out.extend_from_slice(json.as_bytes()),
    }
}

/// ISO-8601 with three fraction digits, in UTC.
fn timestamp_text(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

/// The value as plain text, for tables: what JSON quotes stands without quotes, null is empty.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => Ok(()),
            Self::Decimal(decimal) => write!(f, "{decimal}"),
            Self::Text(text) => f.write_str(text),
            Self::Uuid(uuid) => write!(f, "{uuid}"),
            Self::Time(time) => f.write_str(&timestamp_text(*time)),
            Self::Bool(_) | Self::Int(_) | Self::Ids(_) | Self::Json(_) => {
                let mut out = Vec::new();
                write_value(&mut out, self);
                f.write_str(&String::from_utf8_lossy(&out))
            }
        }
    }
}

/// A JSON string: only `"`, `\` and control characters are escaped (contract, protocol 4.1).
pub(crate) fn write_string(out: &mut Vec<u8>, text: &str) {
    let plain = |byte: u8| byte >= 0x20 && byte != b'"' && byte != b'\\';
    if text.bytes().all(plain) {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        serde_json::to_writer(out, text).expect("writing a string to memory cannot fail");
    }
}
