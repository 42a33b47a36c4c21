//! Push and pull: the heart of the server, in the real one's order of steps.

use super::change_store::SharedChange;
use super::database::Vector;
use super::rows::{Attachment, Checkpoint, Client, Document};
use super::{Instance, errors, ids};
use crate::api;
use crate::protocol::error::{Code, RpcError};

/// How to push and pull.
#[derive(Clone, Copy, Debug)]
pub(super) struct Options {
    pub(super) push_only: bool,
    /// What the client does with the document afterwards.
    pub(super) status: Attachment,
    pub(super) disable_gc: bool,
    pub(super) disable_presence: bool,
}

/// Checks a pack's form.
pub(super) fn check_pack(pack: Option<api::ChangePack>) -> Result<api::ChangePack, RpcError> {
    let pack = pack.ok_or(errors::PACK_REQUIRED)?;
    if pack.checkpoint.is_none() {
        return Err(errors::CHECKPOINT_REQUIRED.into());
    }
    for change in &pack.changes {
        let Some(id) = &change.id else {
            return Err(RpcError::new(Code::Internal, "change id missing"));
        };
        if id.actor_id.len() != 12 {
            return Err(errors::INVALID_ACTOR_ID.into());
        }
    }
    Ok(pack)
}

impl Instance {
    /// Stores a client's changes and gives it what it lacks.
    pub(super) async fn push_pull(
        &self,
        mut client: Client,
        document_id: &str,
        mut pack: api::ChangePack,
        options: Options,
    ) -> Result<api::ChangePack, RpcError> {
        let asked = Checkpoint {
            server_seq: pack.checkpoint.unwrap_or_default().server_seq,
            client_seq: pack.checkpoint.unwrap_or_default().client_seq,
        };
        let before = client.checkpoint(document_id);
        check_continuity(before, &pack.changes)?;
        if options.disable_presence {
            strip_presence(&mut pack.changes);
        }

        let pushed = self.push(&client, document_id, &pack, asked).await?;
        let initial_seq = pushed.document.server_seq - pushed.count;
        let (reached, changes) = if options.push_only {
            let client_seq = pushed.reached.client_seq;
            (
                Checkpoint {
                    server_seq: asked.server_seq,
                    client_seq,
                },
                Vec::new(),
            )
        } else if initial_seq < asked.server_seq {
            return Err(errors::INVALID_SERVER_SEQ.into());
        } else {
            self.pull(&client, &pushed, asked.server_seq + 1, initial_seq)
                .await?
        };

        client.advance(document_id, options.status, reached)?;
        let vector = pack
            .version_vector
            .map(|vector| vector.vector)
            .unwrap_or_default();
        let version_vector = if options.disable_gc {
            None
        } else {
            let vector: Vector = vector.into_iter().collect();
            let least = self
                .database
                .update_vectors(&client, document_id, vector)
                .await?;
            Some(api::VersionVector {
                vector: least.into_iter().collect(),
            })
        };
        self.database.update_client(&client, document_id).await?;

        if pushed.count > 0 || pack.is_removed {
            let topic = (client.project_id.clone(), document_id.to_owned());
            self.documents.publish(
                &topic,
                event(api::DocEventType::DocumentChanged, &client.id),
            );
        }
        Ok(api::ChangePack {
            document_key: pushed.document.key,
            checkpoint: Some(api::Checkpoint {
                server_seq: reached.server_seq,
                client_seq: reached.client_seq,
            }),
            changes: changes
                .iter()
                .map(|change| api::Change::clone(change))
                .collect(),
            is_removed: pushed.document.removed_at.is_some(),
            version_vector,
            ..api::ChangePack::default()
        })
    }

    async fn push(
        &self,
        client: &Client,
        document_id: &str,
        pack: &api::ChangePack,
        asked: Checkpoint,
    ) -> Result<Pushed, RpcError> {
        let project = &client.project_id;
        let before = client.checkpoint(document_id);
        let fresh: Vec<api::Change> = pack
            .changes
            .iter()
            .filter(|change| client_seq(change) > before.client_seq)
            .cloned()
            .collect();
        let count = i64::try_from(fresh.len()).unwrap_or(i64::MAX);
        let _writing = if fresh.is_empty() && !pack.is_removed {
            None
        } else {
            let lock = self
                .locks
                .lock(format!("doc-push-{project}-{document_id}"))
                .await;
            let known = self.database.document(project, document_id).await?;
            if asked.server_seq > known.server_seq {
                return Err(errors::INVALID_SERVER_SEQ.into());
            }
            Some(lock)
        };
        let (document, reached) = self
            .database
            .create_changes(project, document_id, before, fresh, pack.is_removed)
            .await?;
        Ok(Pushed {
            document,
            reached,
            count,
        })
    }

    async fn pull(
        &self,
        client: &Client,
        pushed: &Pushed,
        first: i64,
        last: i64,
    ) -> Result<(Checkpoint, Vec<SharedChange>), RpcError> {
        let document = &pushed.document;
        let mut changes = self
            .database
            .changes_between(&client.project_id, &document.id, first, last)
            .await?;
        // What the client pushed itself it has, even if it never got the answer.
        let actor = ids::actor_bytes(&client.id).unwrap_or_default();
        changes.retain(|change| {
            let own = change.id.as_ref().is_some_and(|id| id.actor_id == actor);
            !(own && client_seq(change) <= pushed.reached.client_seq)
        });
        let server_seq = document.server_seq;
        Ok((
            Checkpoint {
                server_seq,
                client_seq: pushed.reached.client_seq,
            },
            changes,
        ))
    }
}

struct Pushed {
    document: Document,
    reached: Checkpoint,
    count: i64,
}

/// An event of a document.
pub(super) fn event(kind: api::DocEventType, publisher: &str) -> api::DocEvent {
    api::DocEvent {
        r#type: kind.into(),
        publisher: publisher.to_owned(),
        body: Some(api::DocEventBody::default()),
    }
}

fn client_seq(change: &api::Change) -> u32 {
    change.id.as_ref().map_or(0, |id| id.client_seq)
}

/// A client numbers its changes without gaps.
fn check_continuity(before: Checkpoint, changes: &[api::Change]) -> Result<(), RpcError> {
    let mut last = before.client_seq;
    for seq in changes
        .iter()
        .map(client_seq)
        .filter(|seq| *seq > before.client_seq)
    {
        if last.checked_add(1) != Some(seq) {
            return Err(errors::INVALID_CLIENT_SEQ.into());
        }
        last = seq;
    }
    Ok(())
}

fn strip_presence(changes: &mut Vec<api::Change>) {
    for change in changes.iter_mut() {
        change.presence_change = None;
    }
    changes.retain(|change| !change.operations.is_empty());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(client_seq: u32) -> api::Change {
        let id = api::ChangeId {
            client_seq,
            ..api::ChangeId::default()
        };
        api::Change {
            id: Some(id),
            ..api::Change::default()
        }
    }

    #[test]
    fn client_sequences_have_no_gap() {
        let before = Checkpoint {
            server_seq: 0,
            client_seq: 2,
        };
        let check = |seqs: &[u32]| {
            check_continuity(
                before,
                &seqs.iter().copied().map(change).collect::<Vec<_>>(),
            )
        };
        assert!(check(&[]).is_ok());
        assert!(
            check(&[1, 2, 3, 4]).is_ok(),
            "what was pushed before is passed over"
        );
        for gap in [&[4][..], &[3, 5], &[3, 3], &[u32::MAX]] {
            let error = check(gap).expect_err("a gap");
            assert_eq!(error.reason, Some("ErrInvalidClientSeq"), "{gap:?}");
        }
    }

    #[test]
    fn a_pack_needs_its_parts() {
        assert_eq!(
            check_pack(None).expect_err("none").reason,
            Some("ErrPackRequired")
        );
        let pack = api::ChangePack::default();
        let error = check_pack(Some(pack)).expect_err("no checkpoint");
        assert_eq!(error.reason, Some("ErrCheckpointRequired"));
    }
}
