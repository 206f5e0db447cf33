//! Why there is no page, and the page that says so.

use askama::Template;
use hyper::{HeaderMap, StatusCode};

use super::page::{Frame, guarded, html, see_other};
use super::pairs::query;
use crate::error::ApiError;
use crate::inside::Answer;
use crate::reply::Reply;

const FORGED: &str = "This form did not come from a page of this console, or from one that is too \
                      old. Nothing was changed.";

/// Why there is no page.
#[derive(Debug)]
pub enum Refusal {
    /// Nobody is signed in.
    SignIn {
        /// Where they wanted to go.
        next: String,
        /// Whether a script asks.
        is_fragment: bool,
    },
    /// The form did not come from a page of ours.
    Forged,
    /// The API says so.
    Told(Box<Answer>),
    /// Something else is wrong.
    Api(ApiError),
}

impl<E: Into<ApiError>> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self::Api(error.into())
    }
}

#[derive(Template)]
#[template(path = "refused.html")]
struct Refused {
    frame: Frame,
    status: u16,
    said: Vec<String>,
}

fn told(answer: Answer) -> (StatusCode, Vec<String>, HeaderMap) {
    let said = answer.errors().into_iter().map(|wrong| wrong.detail).collect();
    (answer.status, said, answer.headers)
}

impl From<Refusal> for Reply {
    fn from(refusal: Refusal) -> Self {
        let (status, said, headers) = match refusal {
            Refusal::SignIn { next, is_fragment } => {
                let target = format!("/sign-in?{}", query([("next", next.as_str())]));
                // A script would follow a redirection, and put the page into the page.
                return if is_fragment {
                    guarded(Self::no_content()).with_header("hx-redirect", &target)
                } else {
                    see_other(&target)
                };
            }
            Refusal::Forged => (StatusCode::FORBIDDEN, vec![FORGED.to_owned()], HeaderMap::new()),
            Refusal::Told(answer) => told(*answer),
            Refusal::Api(error) => told(Answer::from(error)),
        };
        let frame = Frame::bare(status.canonical_reason().unwrap_or("Refused"));
        match html(status, &Refused { frame, status: status.as_u16(), said }) {
            Ok(mut page) => {
                // When to come again.
                page.headers.extend(headers);
                page
            }
            Err(error) => Self::from(error),
        }
    }
}
