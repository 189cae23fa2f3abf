//! The audit log.

use super::Resolver;
use crate::config::{
    Audit, AuditArguments, AuditSink, DEFAULT_AUDIT_KEEP, DEFAULT_AUDIT_SIZE, Glob, WhenFull,
};
use crate::document::{self, WhenFullWord};

impl Resolver<'_> {
    pub(super) fn audit(&self, written: document::Audit) -> Audit {
        let sink = match written.file {
            // The schema wants one of the two.
            None => AuditSink::Stdout,
            Some(file) => AuditSink::File {
                path: self.path(&file.path),
                size: file.size.map_or(DEFAULT_AUDIT_SIZE, |size| size.0),
                keep: file.keep.unwrap_or(DEFAULT_AUDIT_KEEP),
            },
        };
        let rules = written.arguments.unwrap_or_default().into_iter();
        Audit {
            sink,
            when_full: match written.when_full {
                Some(WhenFullWord::Block) => WhenFull::Block,
                Some(WhenFullWord::Refuse) => WhenFull::Refuse,
                Some(WhenFullWord::Drop) | None => WhenFull::Drop,
            },
            arguments: rules
                .map(|rule| AuditArguments {
                    names: rule.names.into_iter().map(Glob::new).collect(),
                    hide: rule.hide.unwrap_or_default(),
                })
                .collect(),
        }
    }
}
