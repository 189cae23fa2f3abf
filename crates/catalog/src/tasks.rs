//! Which kinds of task a route offers.
//!
//! The extension is offered if any backend can be asked for tasks, of either kind: requests about tasks are led by the
//! task. The core feature of 2025-11-25 speaks of all tasks at once, and of each tool, so it is offered only where a route
//! shows one backend that has it (digest §3.9).

use isthmus_exchange::PeerFacts;
use isthmus_protocol::object::ObjectEdit;
use isthmus_protocol::tasks::{CoreTasks, EXTENSION};
use isthmus_protocol::{Era, RawJson, Revision, ServerCapabilities};

/// Which kinds of task a route offers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TaskOffer {
    /// The extension.
    pub extension: bool,
    /// The tasks of 2025-11-25.
    pub core: Option<CoreTasks>,
}

impl TaskOffer {
    /// What backends that say `facts` of themselves offer together; `None` for one that has not been heard of. While one of
    /// them may still come, so may the extension: a client asks us once, and a call may become a task or not anyway.
    pub(crate) fn of(facts: &[Option<&PeerFacts>], may_come: bool) -> Self {
        let any = facts
            .iter()
            .flatten()
            .any(|facts| has_extension(facts) || core(facts).is_some());
        Self {
            extension: any || may_come,
            core: match facts {
                [Some(alone)] => core(alone),
                _ => None,
            },
        }
    }

    /// A tool's definition that promises no more than is offered.
    pub(crate) fn honest(self, definition: RawJson) -> RawJson {
        if self.core.is_some() {
            return definition;
        }
        ObjectEdit::new(&definition).remove("execution").finish()
    }
}

fn has_extension(facts: &PeerFacts) -> bool {
    let declared = ServerCapabilities::parse(&facts.capabilities);
    facts.revision.era() == Era::Stateless && declared.extension(EXTENSION).is_some()
}

fn core(facts: &PeerFacts) -> Option<CoreTasks> {
    let tasks = CoreTasks::of_server(&facts.capabilities);
    (facts.revision == Revision::V2025_11_25 && tasks.calls).then_some(tasks)
}

#[cfg(test)]
mod tests {
    use isthmus_exchange::ItemKind;

    use crate::fixture::{self, Fixture, backend, build, json, route};
    use crate::{Catalog, Standing};
    use isthmus_protocol::Revision;

    const CORE: &str = r#"{"tools":{},"tasks":{"cancel":{},"requests":{"tools":{"call":{}}}}}"#;
    const EXTENSION: &str = r#"{"tools":{},"extensions":{"io.modelcontextprotocol/tasks":{}}}"#;

    fn with(name: &str, revision: Revision, capabilities: &str) -> Fixture {
        let more = r#""execution":{"taskSupport":"optional"}"#;
        let mut fixture = backend(name, &[(ItemKind::Tool, "t", more)]);
        let mut listing = fixture::listing(&[(ItemKind::Tool, "t", more)]);
        listing.facts.revision = revision;
        listing.facts.capabilities = json(capabilities);
        fixture.standing = Standing::Listed(std::sync::Arc::new(listing));
        fixture
    }

    fn promises(catalog: &Catalog) -> (bool, bool, bool) {
        let offer = catalog.offer().as_str();
        let tool = catalog.items(ItemKind::Tool)[0].definition.as_str();
        (
            offer.contains("io.modelcontextprotocol/tasks"),
            offer.contains(r#""tasks":{"cancel":{},"requests":{"tools":{"call":{}}}}"#),
            tool.contains("taskSupport"),
        )
    }

    #[test]
    fn the_core_feature_is_offered_on_a_route_of_one_backend_and_the_extension_on_any() {
        let core = with("a", Revision::V2025_11_25, CORE);
        let extension = with("b", Revision::V2026_07_28, EXTENSION);
        let neither = with("c", Revision::V2025_11_25, r#"{"tools":{}}"#);
        let check = |fixtures: &[Fixture], expected| {
            assert_eq!(promises(&build(&route(), fixtures)), expected);
        };
        check(std::slice::from_ref(&core), (true, true, true));
        check(std::slice::from_ref(&extension), (true, false, false));
        check(std::slice::from_ref(&neither), (false, false, false));
        check(&[core, neither], (true, false, false));
    }

    #[test]
    fn while_a_backend_may_still_come_so_may_the_extension() {
        let mut coming = with("a", Revision::V2025_11_25, CORE);
        coming.standing = Standing::Cold;
        let offer = build(&route(), &[coming]).tasks();
        assert!(offer.extension && offer.core.is_none());
    }

    #[test]
    fn a_capability_of_the_other_era_means_nothing() {
        let confused = with("a", Revision::V2026_07_28, CORE);
        assert_eq!(
            promises(&build(&route(), &[confused])),
            (false, false, false)
        );
        let confused = with("a", Revision::V2025_06_18, CORE);
        assert_eq!(
            promises(&build(&route(), &[confused])),
            (false, false, false)
        );
    }
}
