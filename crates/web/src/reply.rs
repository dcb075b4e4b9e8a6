//! Answers of success.

use crate::problem::Problem;
use axum::http::header::{CONTENT_TYPE, HeaderName};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use hub::HubError;
use serde::Serialize;

/// The media type of our answers.
pub const JSON: &str = "application/json";

/// What a handler gives.
pub type Reply = Result<Response, Problem>;

/// 200 with a JSON body.
pub fn ok<T: Serialize>(body: &T) -> Reply {
    Ok(json(StatusCode::OK, encode(body)?))
}

/// 201 with a JSON body.
pub fn created<T: Serialize>(body: &T) -> Reply {
    Ok(json(StatusCode::CREATED, encode(body)?))
}

/// A JSON body that is already text.
pub fn json(status: StatusCode, body: Vec<u8>) -> Response {
    typed(status, JSON, body)
}

/// A body of any media type.
pub fn typed(status: StatusCode, media: &'static str, body: Vec<u8>) -> Response {
    let content_type: [(HeaderName, HeaderValue); 1] = [(CONTENT_TYPE, HeaderValue::from_static(media))];
    (status, content_type, body).into_response()
}

/// A value as JSON text.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, HubError> {
    let mut body = Vec::with_capacity(512);
    serde_json::to_writer(&mut body, value).map_err(|error| HubError::Internal(Box::new(error)))?;
    Ok(body)
}

/// One page of rendered events, without parsing them again.
pub fn events(page: &hub::answers::Page) -> Result<Vec<u8>, HubError> {
    let size: usize = page.events.iter().map(|event| event.len() + 1).sum();
    let mut body = Vec::with_capacity(size + 64);
    body.extend_from_slice(b"{\"events\":[");
    for (index, event) in page.events.iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        body.extend_from_slice(event);
    }
    body.extend_from_slice(b"],\"cursor\":");
    body.extend_from_slice(&encode(&page.cursor)?);
    body.push(b'}');
    Ok(body)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use hub::answers::Page;

    #[test]
    fn a_page_is_put_together_from_rendered_events() {
        let page = Page { events: vec![b"{\"seq\":2}".to_vec(), b"{\"seq\":1}".to_vec()], cursor: Some("a\"b".into()) };
        assert_eq!(String::from_utf8(events(&page).unwrap()).unwrap(), r#"{"events":[{"seq":2},{"seq":1}],"cursor":"a\"b"}"#);
    }

    #[test]
    fn an_empty_page_has_no_cursor() {
        assert_eq!(events(&Page::default()).unwrap(), b"{\"events\":[],\"cursor\":null}");
    }
}
