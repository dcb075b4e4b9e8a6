//! The one place where answers ask `policy`.

use crate::directory::Snapshot;
use formats::json::{EventHead, Reporter, write_event};
use model::{Category, Event, OrgKind, OrgNo, Role, Seq, Text, Timestamp, Tlp};
use policy::{Item, Reader, Sight, groups_permit_naming, redact, sight};
use std::sync::Arc;
use store::views::strings::{Class, Strings};

/// A reader and the directory at the time of the answer.
#[derive(Debug, Clone)]
pub(crate) struct View<'r> {
    /// The reader's facts.
    pub(crate) reader: &'r Reader,
    /// Who is who.
    pub(crate) directory: Arc<Snapshot>,
}

impl View<'_> {
    /// What the reader sees of an item with these facts. `what` is its category and the sector that it names.
    pub(crate) fn sight(&self, reporter: OrgNo, tlp: Tlp, audience: &[Text], what: (Category, Option<&str>), named: bool) -> Sight {
        let group_leave = groups_permit_naming(audience, |id| self.directory.group(id).is_some_and(|group| group.named));
        let organisation = self.directory.organisation(reporter);
        let (category, sector) = what;
        let item = Item {
            reporter,
            reporter_constituency: organisation.and_then(|organisation| organisation.constituency),
            source: organisation.is_some_and(|organisation| organisation.kind == OrgKind::Source),
            licence: organisation.and_then(|organisation| organisation.licence),
            tlp,
            audience,
            category,
            sector,
            named,
            group_leave,
        };
        sight(self.reader, &item)
    }

    /// What the reader sees of an event.
    pub(crate) fn event(&self, reporter: OrgNo, event: &Event) -> Sight {
        self.sight(reporter, event.tlp, event.audience(), (event.category, event.sector.as_deref()), event.named)
    }

    /// What the reader sees of an aggregate row of this class; [`Sight::Hidden`] also where the value's role hides it. `strings` has the texts that
    /// the class names by number.
    pub(crate) fn class(&self, class: &Class, audience: &[Text], strings: &Strings) -> Sight {
        // The sector of a class costs a look, and makes a difference to few.
        let by_sector = self.reader.agreement.as_ref().is_some_and(|agreement| !agreement.sectors.is_empty());
        let sector = if by_sector { strings.get(class.sector).cloned() } else { None };
        let sight = self.sight(class.reporter, class.tlp, audience, (class.category, sector.as_deref()), class.named);
        let shown = match (class.role, class.honeypot) {
            (Role::Attacker, _) => true,
            (Role::Bystander, false) => sight.sees_event(),
            (Role::Victim, false) => sight.sees_victims(),
            (Role::Victim | Role::Bystander, true) => sight == Sight::Own,
        };
        if shown { sight } else { Sight::Hidden }
    }

    /// Removes what is hidden and renders the event; `None` where nothing may be shown.
    pub(crate) fn render(&self, seq: Seq, received: Timestamp, reporter: OrgNo, event: &mut Event) -> Option<Vec<u8>> {
        let sight = self.event(reporter, event);
        redact(event, sight).then(|| self.write(seq, received, reporter, event, sight))
    }

    /// Renders an event that was redacted for `sight`.
    pub(crate) fn write(&self, seq: Seq, received: Timestamp, reporter: OrgNo, event: &Event, sight: Sight) -> Vec<u8> {
        let organisation = self.directory.organisation(reporter);
        let shown = organisation.filter(|_| sight.sees_reporter()).map(|organisation| Reporter { id: organisation.id, name: &organisation.name });
        let mut out = Vec::with_capacity(384);
        write_event(&mut out, &EventHead { seq, received, reporter: shown, own: sight == Sight::Own }, event);
        out
    }
}
