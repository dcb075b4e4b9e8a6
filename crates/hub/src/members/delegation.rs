//! Acting for another organisation: in whose name a submission is taken.
//!
//! Invariant: only the coordinator writes who acts for whom (`acts_for`), and both of them see it. Who acts for another sends in its name; it
//! neither reads nor changes anything of it, receipts included.
//! Not here: the submission itself (`intake`), which names key and organisation of who sent it in the log, beside the receipt.

use super::{Members, may_know};
use crate::{Actor, HubError};
use model::{OrgId, Organisation, Standing};
use std::sync::Arc;

impl Members {
    /// The organisation whose events the actor sends: its own, or one that it acts for.
    ///
    /// # Errors
    /// [`HubError::NotFound`] for one it may not know, [`HubError::Forbidden`] for one it does not act for or that is no member any more.
    pub(crate) fn reporter_for(&self, actor: &Actor, on_behalf_of: Option<OrgId>) -> Result<Arc<Organisation>, HubError> {
        let Some(id) = on_behalf_of.filter(|id| *id != actor.organisation.id) else { return Ok(Arc::clone(&actor.organisation)) };
        let acts = actor.organisation.acts_for.contains(&id);
        let organisation = self.directory.by_id(id).filter(|organisation| acts || may_know(actor, organisation)).ok_or(HubError::NotFound)?;
        if !acts {
            return Err(HubError::Forbidden("the caller's organisation does not act for this one"));
        }
        if organisation.standing == Standing::Revoked {
            return Err(HubError::Forbidden("the organisation is no member any more"));
        }
        Ok(organisation)
    }
}
