//! Routing by the segments of a path.

use std::fmt;

use crate::{App, BoxedApp, Request, Response, Session};

/// An app that forwards a request to the app that is mounted under the next segment of the path. The segment is shifted to the
/// mount, so the app sees only the rest of the path. Routers can be nested.
///
/// A router does not call the [`on_connect`](App::on_connect) of the apps that are mounted. Put a necessary check into the
/// server's options, or into an app around the router.
///
/// A path without an app gets 404. Segments are compared as they were sent, without percent-decoding.
///
/// ```
/// use degu_server::{Request, Session, applib::Router};
///
/// async fn index(_: &mut Session, _: Request<'_>) -> &'static str {
///     "the index"
/// }
/// async fn notes(_: &mut Session, request: Request<'_>) -> String {
///     format!("{:?} under {:?}", request.segments(), request.mount())
/// }
///
/// let api = Router::new().mount("notes", notes);
/// // `/` is the index, and `/v1/notes/7` is `["7"] under ["v1", "notes"]`.
/// let app = Router::new().index(index).mount("v1", api);
/// # fn is_an_app(_: impl degu_server::App) {}
/// # is_an_app(app);
/// ```
#[derive(Default)]
pub struct Router {
    mounted: Vec<(Box<str>, BoxedApp)>,
    index: Option<BoxedApp>,
    otherwise: Option<BoxedApp>,
}

impl Router {
    /// Returns a router without a route.
    pub fn new() -> Self {
        Self::default()
    }

    /// Mounts an app under a segment. An app that was mounted there before is replaced.
    #[must_use]
    pub fn mount(mut self, component: impl Into<Box<str>>, app: impl App) -> Self {
        let component = component.into();
        self.mounted.retain(|(mounted, _)| *mounted != component);
        self.mounted.push((component, BoxedApp::new(app)));
        self
    }

    /// Sets the app for a path without a further segment.
    #[must_use]
    pub fn index(mut self, app: impl App) -> Self {
        self.index = Some(BoxedApp::new(app));
        self
    }

    /// Sets the app for every path that has no other app. No segment is shifted to the mount for it.
    #[must_use]
    pub fn otherwise(mut self, app: impl App) -> Self {
        self.otherwise = Some(BoxedApp::new(app));
        self
    }
}

impl App for Router {
    async fn handle(&self, session: &mut Session, mut request: Request<'_>) -> Response {
        let app = match request.segments().first() {
            None => self.index.as_ref(),
            Some(component) => {
                let found = self.mounted.iter().find(|(mounted, _)| **mounted == **component).map(|(_, app)| app);
                if found.is_some() {
                    request.shift_path();
                }
                found
            }
        };
        match app.or(self.otherwise.as_ref()) {
            Some(app) => app.handle(session, request).await,
            None => 404.into(),
        }
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.mounted.iter().map(|(component, _)| component)).finish()
    }
}
