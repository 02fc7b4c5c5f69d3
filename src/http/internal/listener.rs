//! The internal listener: every request is a future of its own.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;

use actix_http::Request;
use futures_util::future::LocalBoxFuture;

use super::{Internal, answer};
use crate::http::listener::{self, Answers, ListenerOptions};
use crate::http::reply::Reply;
use crate::http::workers::Serving;

/// Serves on bound sockets until what is returned is stopped. Signals are the caller's.
///
/// # Errors
/// When the socket cannot be used.
pub fn serve(internal: Arc<Internal>, sockets: Vec<TcpListener>, options: ListenerOptions) -> io::Result<Serving> {
    listener::serve(internal, "internal", sockets, options)
}

impl Answers for Internal {
    type Future = LocalBoxFuture<'static, Reply>;

    fn answer(self: &Arc<Self>, request: Request) -> Self::Future {
        let internal = Arc::clone(self);
        Box::pin(async move { answer(&internal, request).await })
    }
}
