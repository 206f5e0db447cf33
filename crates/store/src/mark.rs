//! The mark of a database that a copy has not filled to the end: no server works on it.

use jsonapi::Value;

use crate::error::StoreError;
use crate::session::Session;

/// The setting in a target that tells where an unfinished copy comes from. It is no row of the
/// installation, so it is neither copied nor compared.
pub const MARK: &str = "copy";

/// Where an unfinished copy in this database comes from, if there is one.
pub async fn unfinished(session: &Session) -> Result<Option<String>, StoreError> {
    let sql = "SELECT value FROM settings WHERE name = $1";
    let mark = session.read_one(sql, &[Value::text(MARK)], |row| row.text(0)).await?;
    Ok(mark.as_deref().map(origin))
}

/// Where the copy with this mark comes from.
pub fn origin(mark: &str) -> String {
    mark.lines().next().unwrap_or_default().to_owned()
}
