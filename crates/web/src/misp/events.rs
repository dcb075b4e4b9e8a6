//! Events: adding, editing, publishing, deleting, listing, searching.

use super::{Asking, Sent, pieces};
use crate::AppState;
use crate::params::At;
use crate::reply::{self, Reply};
use crate::state::act;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use hub::misp::{MispAnswer, MispBody, MispMedia, Scope, Shown};
use hub::{Actor, Hub, HubError};
use serde_json::{Map, Value};
use std::sync::Arc;

/// How many were found, as MISP says it.
const X_RESULT_COUNT: &str = "x-result-count";

/// `POST /misp/events/add`
pub async fn add(State(state): State<AppState>, asking: Asking, sent: Sent) -> Reply {
    let metadata = asking.is("metadata");
    let Asking { actor, sync, .. } = asking;
    changed(Arc::clone(&state.hub), actor.clone(), async move { state.hub.misp_add(&actor, sent.value, metadata, sync).await }).await
}

/// `GET` and `POST /misp/events/view/{event}`
pub async fn view(State(state): State<AppState>, asking: Asking, At(event): At<String>, sent: Sent) -> Reply {
    let (options, hub) = (asking.filters(sent.filters()), Arc::clone(&state.hub));
    Ok(written(state.look(async move { hub.misp_view(&asking.actor, &event, &options, asking.sync).await }).await?))
}

/// `POST /misp/events/edit/{event}`
pub async fn edit(State(state): State<AppState>, asking: Asking, At(event): At<String>, sent: Sent) -> Reply {
    let metadata = asking.is("metadata");
    let Asking { actor, sync, .. } = asking;
    changed(Arc::clone(&state.hub), actor.clone(), async move { state.hub.misp_edit(&actor, &event, sent.value, metadata, sync).await }).await
}

/// `POST /misp/events/delete/{event}`
pub async fn delete(State(state): State<AppState>, asking: Asking, At(event): At<String>) -> Reply {
    reply::ok(&act(async move { state.hub.misp_delete(&asking.actor, &event).await }).await?)
}

/// `POST /misp/events/publish/{event}`
pub async fn publish(State(state): State<AppState>, asking: Asking, At(event): At<String>) -> Reply {
    reply::ok(&act(async move { state.hub.misp_publish(&asking.actor, &event, true).await }).await?)
}

/// `POST /misp/events/unpublish/{event}`
pub async fn unpublish(State(state): State<AppState>, asking: Asking, At(event): At<String>) -> Reply {
    reply::ok(&act(async move { state.hub.misp_publish(&asking.actor, &event, false).await }).await?)
}

/// `GET` and `POST /misp/events/index`
pub async fn index(State(state): State<AppState>, asking: Asking, sent: Sent) -> Reply {
    let (filters, hub) = (asking.filters(sent.filters()), Arc::clone(&state.hub));
    Ok(written(state.look(async move { hub.misp_index(&asking.actor, &filters, asking.sync).await }).await?))
}

/// `GET` and `POST /misp/events/restSearch`
pub async fn search(State(state): State<AppState>, asking: Asking, sent: Sent) -> Reply {
    let filters = asking.filters(sent.filters());
    searched(&state, asking, Scope::Events, filters).await
}

/// `POST /misp/events/filterEventIdsForPush`
pub async fn wanted(State(state): State<AppState>, asking: Asking, sent: Sent) -> Reply {
    let hub = Arc::clone(&state.hub);
    reply::ok(&state.look(async move { hub.misp_wanted(&asking.actor, &sent.value).await }).await?)
}

/// Makes a change to its end, and gives what it is answered with.
pub(super) fn changed(
    hub: Arc<Hub>,
    actor: Actor,
    change: impl Future<Output = Result<Shown, HubError>> + Send + 'static,
) -> impl Future<Output = Reply> + Send {
    // These are large; whoever waits for one holds a pointer.
    let change = Box::pin(change);
    async move { Ok(written(act(async move { hub.misp_answer(&actor, change.await?).await }).await?)) }
}

/// Gives what was made of what is looked at.
pub(super) fn looked(
    state: &AppState,
    actor: Actor,
    look: impl Future<Output = Result<Shown, HubError>> + Send + 'static,
) -> impl Future<Output = Reply> + Send {
    let (hub, look) = (Arc::clone(&state.hub), Box::pin(look));
    let work = state.look(async move { hub.misp_answer(&actor, look.await?).await });
    async move { Ok(written(work.await?)) }
}

/// The answer to a search, in the format that was asked for.
pub(super) async fn searched(state: &AppState, asking: Asking, scope: Scope, filters: Map<String, Value>) -> Reply {
    let hub = Arc::clone(&state.hub);
    Ok(written(state.look(async move { hub.misp_search(&asking.actor, scope, &filters, asking.sync).await }).await?))
}

/// An answer that is there, or its beginning with what follows.
pub(super) fn written(found: MispAnswer) -> Response {
    let media = match found.media {
        MispMedia::Json => reply::JSON,
        MispMedia::Csv => "text/csv; charset=utf-8",
        MispMedia::Text => "text/plain; charset=utf-8",
    };
    let mut response = match found.body {
        MispBody::Whole(body) => reply::typed(StatusCode::OK, media, body),
        MispBody::Pieces(rest) => (StatusCode::OK, [(CONTENT_TYPE, HeaderValue::from_static(media))], pieces::body(rest)).into_response(),
    };
    if let Some(count) = found.count {
        response.headers_mut().insert(X_RESULT_COUNT, HeaderValue::from(count));
    }
    response
}
