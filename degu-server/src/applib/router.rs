//! Routing by the segments of a path.

use crate::{App, BoxedApp, Request, Response, Session};

/// An app that passes each request to one of several apps, according to the next segment of the path. The segment is shifted
/// to the [mount](Request::mount), and the chosen app gets only the rest of the path. Routers can be nested.
///
/// A request whose path has no app gets 404. Segments are compared as they were sent, without percent-decoding.
///
/// For a new connection, the router calls [`on_connect`](App::on_connect) of all its apps, because the path of the
/// first request is not known yet. The mounted apps come first, in the order of the calls of `mount`. The index and
/// then the app for all other paths follow. If an app refuses the connection, the router asks no further app.
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
#[derive(Debug, Default)]
pub struct Router {
    mounted: Vec<(Box<str>, BoxedApp)>,
    index: Option<BoxedApp>,
    otherwise: Option<BoxedApp>,
}

impl Router {
    /// Returns a router without apps.
    pub fn new() -> Self {
        Self::default()
    }

    /// Mounts an app under a segment, which is given as in the path of a request: percent-encoded. Replaces an earlier app of the
    /// same segment.
    ///
    /// # Panics
    ///
    /// If `component` cannot be a segment of a path, because it has a `/`, `?` or `#`, or a byte that is not visible ASCII. For the
    /// path `/a/b`, mount a router under `a`, and the app under `b` in that router.
    #[must_use]
    pub fn mount(mut self, component: impl Into<Box<str>>, app: impl App) -> Self {
        let component = component.into();
        assert!(
            component.bytes().all(|byte| byte.is_ascii_graphic() && !b"/?#".contains(&byte)),
            "{component:?} is not a segment of a path: pass one segment without `/`, `?` and `#`, percent-encoded"
        );
        self.mounted.retain(|(mounted, _)| *mounted != component);
        self.mounted.push((component, BoxedApp::new(app)));
        self
    }

    /// Sets the app for a path that has no further segment.
    #[must_use]
    pub fn index(mut self, app: impl App) -> Self {
        self.index = Some(BoxedApp::new(app));
        self
    }

    /// Sets the app for all paths that have no other app. For this app, no segment is shifted to the mount.
    #[must_use]
    pub fn otherwise(mut self, app: impl App) -> Self {
        self.otherwise = Some(BoxedApp::new(app));
        self
    }
}

impl App for Router {
    async fn on_connect(&self, session: &mut Session) -> bool {
        let mounted = self.mounted.iter().map(|(_, app)| app);
        for app in mounted.chain(&self.index).chain(&self.otherwise) {
            if !app.on_connect(session).await {
                return false;
            }
        }
        true
    }

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
