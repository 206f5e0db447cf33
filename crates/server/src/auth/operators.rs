//! The operators as requests see them: read from the database, kept for a few seconds.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use ipnet::IpNet;
use store::{Operator, Store, StoreError};

use super::tokens::Claims;

/// How long a change made elsewhere, on this node or another, may stay unseen (D20). To ask the
/// database for each request would hold at once, and cost each request a round trip.
const KEPT: Duration = Duration::from_secs(2);

type ById = HashMap<i64, Arc<Operator>>;

/// All operators, as of a moment ago.
#[derive(Debug, Default)]
pub struct Operators {
    kept: RwLock<Option<(Instant, Arc<ById>)>>,
}

/// Why somebody with the right token or password may still not come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// No such operator, disabled, or the token is older than their password.
    Unknown,
    /// Not from this address.
    Address,
}

impl Operators {
    async fn current(&self, store: &Store) -> Result<Arc<ById>, StoreError> {
        {
            let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
            if let Some((read_at, operators)) = kept.as_ref()
                && read_at.elapsed() < KEPT
            {
                return Ok(Arc::clone(operators));
            }
        }
        let read_at = Instant::now();
        let all = store.operators().await?;
        let by_id: Arc<ById> =
            Arc::new(all.into_iter().map(|operator| (operator.id, Arc::new(operator))).collect());
        *self.kept.write().unwrap_or_else(PoisonError::into_inner) =
            Some((read_at, Arc::clone(&by_id)));
        Ok(by_id)
    }

    /// Has them read anew by the next request: one of them was changed here.
    pub fn forget(&self) {
        *self.kept.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The operator of a token, if they may come in from `address` with it.
    ///
    /// # Errors
    /// When operators cannot be read; the inner result is a refusal.
    pub async fn admit(
        &self,
        store: &Store,
        claims: Claims,
        address: IpAddr,
    ) -> Result<Result<Arc<Operator>, Refused>, StoreError> {
        let operators = self.current(store).await?;
        let Some(operator) = operators.get(&claims.operator).filter(|operator| operator.enabled)
        else {
            return Ok(Err(Refused::Unknown));
        };
        // Once a password has changed, a token that does not tell its age may be older than that.
        let valid_from = operator.tokens_valid_from_secs;
        let outdated = valid_from > 0 && claims.issued_at_secs.is_none_or(|at| at < valid_from);
        Ok(match (outdated, allows(operator, address)) {
            (true, _) => Err(Refused::Unknown),
            (_, false) => Err(Refused::Address),
            _ => Ok(Arc::clone(operator)),
        })
    }

    /// The operator with this id, if they may do anything at all.
    ///
    /// # Errors
    /// When operators cannot be read.
    pub async fn with_id(
        &self,
        store: &Store,
        id: i64,
    ) -> Result<Option<Arc<Operator>>, StoreError> {
        let operators = self.current(store).await?;
        Ok(operators.get(&id).filter(|operator| operator.enabled).cloned())
    }

    /// The operator of this name as the database has them now: sign-in does not use the copy.
    ///
    /// # Errors
    /// When operators cannot be read.
    pub async fn named(&self, store: &Store, name: &str) -> Result<Option<Operator>, StoreError> {
        Ok(store.operators().await?.into_iter().find(|operator| operator.name == name))
    }
}

/// Whether the operator may come from this address; no list means anywhere.
pub fn allows(operator: &Operator, address: IpAddr) -> bool {
    let Some(networks) = &operator.allowed_ips else { return true };
    let address = address.to_canonical();
    networks.split(',').filter_map(parse_network).any(|network| network.contains(&address))
}

/// An address or a network in CIDR form.
pub fn parse_network(text: &str) -> Option<IpNet> {
    let text = text.trim();
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}
