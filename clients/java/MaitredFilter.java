// Part of maitred (https://github.com/maitred/maitred), Apache License 2.0. One file, no dependencies; Java 8, Servlet 3.1.
// For Tomcat 10 and later: `clients/java/jakarta` writes the same file with the packages' new names. See README.md beside it.
package maitred;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.io.Serializable;
import java.math.BigInteger;
import java.net.HttpURLConnection;
import java.net.Proxy;
import java.net.URI;
import java.net.URISyntaxException;
import java.net.URL;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.security.AlgorithmParameters;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.PublicKey;
import java.security.SecureRandom;
import java.security.Signature;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.security.spec.ECGenParameterSpec;
import java.security.spec.ECParameterSpec;
import java.security.spec.ECPoint;
import java.security.spec.ECPublicKeySpec;
import java.security.spec.InvalidKeySpecException;
import java.security.spec.PKCS8EncodedKeySpec;
import java.security.spec.X509EncodedKeySpec;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.Collection;
import java.util.Collections;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.ReentrantLock;
import java.util.logging.Level;
import java.util.logging.Logger;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

import javax.net.ssl.HttpsURLConnection;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLSocketFactory;
import javax.net.ssl.TrustManager;
import javax.net.ssl.TrustManagerFactory;
import javax.servlet.DispatcherType;
import javax.servlet.Filter;
import javax.servlet.FilterChain;
import javax.servlet.FilterConfig;
import javax.servlet.ServletContext;
import javax.servlet.ServletException;
import javax.servlet.ServletRequest;
import javax.servlet.ServletResponse;
import javax.servlet.http.Cookie;
import javax.servlet.http.HttpServletRequest;
import javax.servlet.http.HttpServletResponse;
import javax.servlet.http.HttpSession;
import javax.servlet.http.HttpSessionActivationListener;
import javax.servlet.http.HttpSessionBindingEvent;
import javax.servlet.http.HttpSessionBindingListener;
import javax.servlet.http.HttpSessionEvent;

/**
 * Makes a servlet application a good server of a maitred pool, by a few lines of {@code web.xml}.
 *
 * <pre>
 * browser ── ticket ──▶ doFilter ── Seat in the HttpSession ──▶ the application
 *                          │                │ login, logout, agent state
 *                       Tickets          Settler ──────────────┐
 *                                                              ├──▶ Directors ──▶ one of several directors
 *                        Beats ── load, held, done ────────────┘
 *                          └── orders ──▶ HttpSession.invalidate()
 * </pre>
 *
 * No request waits for a director that is known to be away, and none waits longer than {@code call-timeout} for one that is not
 * known to be. Nothing of what a director says or fails to say ends a session, except an order to reset it.
 *
 * <p>Threads: one beats, one settles what the application did, and up to eight, which end when idle, ask on behalf of requests.
 * {@link #destroy} ends all of them.
 */
public class MaitredFilter implements Filter {
    /** Attribute of the HttpSession: the key that the session was started with. */
    public static final String KEY = "maitred.key";
    /** Attribute of the HttpSession: the session's id at the directors. */
    public static final String SESSION = "maitred.session";
    /** Attribute of the HttpSession, a {@link Long}: which stay this is; it grows with each move. */
    public static final String GENERATION = "maitred.generation";
    /** Attribute of the HttpSession, set by the application: the agent who has logged in. The same as {@link #login}. */
    public static final String AGENT = "maitred.agent";
    /** Attribute of the HttpSession while it is being reset: why. For the listeners of the application. */
    public static final String RESET = "maitred.reset";
    /** Attribute of the ServletContext, a {@link Boolean}: no new sessions, please. The same as {@link #draining}. */
    public static final String DRAINING = "maitred.draining";
    /** Prefix of attributes of the ServletContext, {@code up} or {@code down}. The same as {@link #depends}. */
    public static final String DEPENDS = "maitred.depends.";
    /** Longest agent state, in bytes as JSON. */
    public static final int STATE_BYTES_MAX = 4096;

    private static final String SEAT = "maitred.seat";
    private static final String FILTER = "maitred.filter";
    private static final String AWAKENED = "maitred.awakened";
    private static final String TICKET = "maitred_ticket";

    /** A director takes lists of this length; a server with more sessions sends none, for a part of a list would be a lie. */
    private static final int HELD_MAX = 20_000;
    /** Most ids of orders in one beat. */
    private static final int DONE_MAX = 4096;
    /** Orders that are remembered, so that an old one that comes again resets nobody. */
    private static final int ORDERS_KEPT = 20_000;
    /** Tickets are taken once; they are valid for a minute and a half at most. */
    private static final long TICKET_KEPT_MS = 180_000;
    private static final int TICKETS_KEPT = 100_000;
    /** Cookies that are looked at in one request. */
    private static final int COOKIES_MAX = 4;
    /** Sessions with something to tell. */
    private static final int UNSETTLED_MAX = 50_000;
    private static final int ASKING_THREADS = 8;
    private static final int ASKING_QUEUE = 256;

    private static final Logger LOG = Logger.getLogger("maitred");

    private Settings settings;
    private ServletContext context;
    private String incarnation;
    private Directors directors;
    private Tickets tickets;
    private Beats beats;
    private Settler settler;
    private ThreadPoolExecutor asking;
    private volatile boolean closed;

    /** The sessions that this server holds. */
    private final Set<Seat> seats = ConcurrentHashMap.newKeySet();
    /** Raised at each login and logout. */
    private final AtomicLong heldSeq = new AtomicLong(1);

    // ------------------------------------------------------------------------------------------ what the application calls

    /**
     * Tells the directors who has logged in at this request's session. Returns at once; the word is delivered when a director
     * answers. A session that came without a ticket is known by this agent from now on.
     *
     * @throws IllegalArgumentException if no directors could use it as an id: 1 to 128 bytes without control characters
     */
    public static void login(HttpServletRequest request, String agent) {
        checkAgent(agent);
        MaitredFilter filter = of(request.getServletContext());
        if (filter != null) {
            filter.loggedIn(request, request.getSession(true), agent);
        }
    }

    /**
     * What the agent's last server left for this one; empty when there is nothing, {@code null} when no director said so in time.
     * To be called after {@link #login}, because only a server that has confirmed the agent may read. What a server without this
     * filter has left, as another JSON value than a text, comes as JSON.
     */
    public static String state(HttpServletRequest request) {
        MaitredFilter filter = of(request.getServletContext());
        Seat seat = seatOf(request.getSession(false));
        return filter == null || seat == null ? null : filter.ask(() -> filter.settler.read(seat), null);
    }

    /**
     * Leaves a text for the agent's next server, at most 4 KiB as JSON. Returns at once; of several that wait the last one is
     * written. The future says whether it was: {@code false} when this is not the agent's session any more, or a later one came.
     */
    public static CompletableFuture<Boolean> saveState(HttpServletRequest request, String state) {
        if (Json.write(state).getBytes(StandardCharsets.UTF_8).length > STATE_BYTES_MAX) {
            throw new IllegalArgumentException("an agent state has at most " + STATE_BYTES_MAX + " bytes");
        }
        MaitredFilter filter = of(request.getServletContext());
        Seat seat = seatOf(request.getSession(false));
        if (filter == null || seat == null) {
            return CompletableFuture.completedFuture(false);
        }
        Writing writing = new Writing(state);
        Writing before = seat.writing.getAndSet(writing);
        if (before != null) {
            before.written.complete(false);
        }
        filter.settler.add(seat);
        return writing.written;
    }

    /** Says whether something that this server needs works; what follows is in the pool's {@code [[pool.depends]]}. */
    public static void depends(ServletContext context, String name, boolean up) {
        context.setAttribute(DEPENDS + name, up ? "up" : "down");
        poke(context);
    }

    /** Asks for no new sessions, or takes that back. Those who are here stay. */
    public static void draining(ServletContext context, boolean draining) {
        context.setAttribute(DRAINING, draining);
        poke(context);
    }

    private static void poke(ServletContext context) {
        MaitredFilter filter = of(context);
        if (filter != null && filter.beats != null) {
            filter.beats.poke();
        }
    }

    private static MaitredFilter of(ServletContext context) {
        Object filter = context.getAttribute(FILTER);
        return filter instanceof MaitredFilter ? (MaitredFilter) filter : null;
    }

    private static void checkAgent(String agent) {
        int length = agent.getBytes(StandardCharsets.UTF_8).length;
        if (length < 1 || length > 128 || agent.codePoints().anyMatch(Character::isISOControl)) {
            throw new IllegalArgumentException("an agent's id has 1 to 128 bytes and no control characters");
        }
    }

    // ------------------------------------------------------------------------------------------ life

    @Override
    public void init(FilterConfig config) throws ServletException {
        settings = Settings.read(config);
        context = config.getServletContext();
        byte[] mark = new byte[6];
        new SecureRandom().nextBytes(mark);
        incarnation = Instant.now().truncatedTo(ChronoUnit.SECONDS) + "/" + hex(mark);
        tickets = new Tickets(settings.server, settings.pool);
        directors = new Directors(settings);
        asking = new ThreadPoolExecutor(ASKING_THREADS, ASKING_THREADS, 30, TimeUnit.SECONDS,
                new ArrayBlockingQueue<>(ASKING_QUEUE), task -> daemon(task, "asks"));
        asking.allowCoreThreadTimeOut(true);
        settler = new Settler();
        context.setAttribute(FILTER, this);
        welcomeAwakened();
        if (!settings.directors.isEmpty()) {
            beats = new Beats();
            beats.thread.start();
            settler.thread.start();
        }
        LOG.info(() -> "maitred: server " + settings.server + " of pool " + settings.pool + ", incarnation " + incarnation
                + ", directors " + settings.directors);
    }

    @Override
    public void destroy() {
        closed = true;
        if (context == null) {
            return;
        }
        context.removeAttribute(FILTER);
        asking.shutdownNow();
        if (beats != null) {
            // They wait for a socket at most, and sockets have their limits.
            beats.thread.interrupt();
            settler.thread.interrupt();
            join(beats.thread);
            join(settler.thread);
        }
        directors.wire.close();
        seats.clear();
    }

    private static void join(Thread thread) {
        try {
            thread.join(3000);
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    private Thread daemon(Runnable task, String does) {
        Thread thread = new Thread(task, "maitred-" + settings.server + "-" + does);
        thread.setDaemon(true);
        return thread;
    }

    // ------------------------------------------------------------------------------------------ requests

    @Override
    public void doFilter(ServletRequest any, ServletResponse answer, FilterChain chain) throws IOException, ServletException {
        if (!(any instanceof HttpServletRequest) || any.getDispatcherType() != DispatcherType.REQUEST || closed) {
            chain.doFilter(any, answer);
            return;
        }
        HttpServletRequest request = (HttpServletRequest) any;
        HttpServletResponse response = (HttpServletResponse) answer;
        if (request.getRequestURI().equals(settings.healthPath)) {
            showHealth(response);
            return;
        }
        if (answeredByRedirect(request, response)) {
            return;
        }
        Seat seat = seatOf(request.getSession(false));
        if (seat != null) {
            if (seat.filter == null) {
                attach(seat, request.getSession(false));
            }
            seat.requests.incrementAndGet();
            request.setAttribute(SEAT, seat);
        }
        try {
            chain.doFilter(request, response);
        } finally {
            noteLogin(request);
            // What ended during this request may have been bound anew by a login; only now it is known.
            if (seat != null && seat.requests.decrementAndGet() == 0 && seat.ended) {
                settler.add(seat);
            }
        }
    }

    /** Takes a ticket, or sends the client where it gets one. The three cases are those of docs/server-integration.md. */
    private boolean answeredByRedirect(HttpServletRequest request, HttpServletResponse response) throws IOException {
        String byQuery = ticketIn(request.getQueryString());
        boolean bound = seatOf(request.getSession(false)) != null;
        if (byQuery != null) {
            Verdict verdict = take(byQuery, request);
            if (verdict.bound || bound || !goToDoor(request, response, verdict.back)) {
                redirect(request, response, cleanTarget(request));
            }
            return true;
        }
        // Of several, set with other attributes, one at most is for here and now.
        for (String byCookie : cookies(request)) {
            if (take(byCookie, request).bound) {
                clearCookie(response);
                return false;
            }
        }
        return !bound && isNavigation(request) && !isExempt(request) && goToDoor(request, response, null);
    }

    /** Verifies a ticket and binds it, if it is good and new. */
    private Verdict take(String ticket, HttpServletRequest request) {
        try {
            return takeUnlessEnded(ticket, request);
        } catch (IllegalStateException ended) {
            // The HttpSession ended in the same moment; the next request tells.
            return Verdict.UNKNOWN;
        }
    }

    private Verdict takeUnlessEnded(String ticket, HttpServletRequest request) {
        Seat seat = seatOf(request.getSession(false));
        if (seat != null && ticket.equals(seat.ticket)) {
            // A reload, or a cookie that has not gone yet.
            return Verdict.taken();
        }
        Verdict verdict = tickets.check(ticket, System.currentTimeMillis() / 1000);
        if (verdict == Verdict.UNKNOWN) {
            verdict = ask(() -> directors.verify(ticket, settings.callMillis, tickets), Verdict.UNKNOWN);
        }
        if (verdict.claims == null) {
            return verdict;
        }
        Claims claims = verdict.claims;
        if (!tickets.isFirst(claims)) {
            // Shown again: of use only to whoever it is bound to already.
            return seat != null && claims.session.equals(seat.session) ? Verdict.taken() : Verdict.refused(claims.back);
        }
        bind(request, seat, claims, ticket);
        return Verdict.taken();
    }

    private void bind(HttpServletRequest request, Seat bound, Claims claims, String ticket) {
        HttpSession http = request.getSession(false);
        String agent = null;
        if (bound != null) {
            boolean same = claims.session.equals(bound.session);
            if (same && claims.generation <= bound.generation) {
                bound.ticket = ticket;
                return;
            }
            if (!bound.byTicket && bound.key.equals(claims.key)) {
                // A walk-in that has come by the front door now: the same person, nothing to start afresh.
                agent = bound.agent;
                bound.leaveSilently = true;
                http.removeAttribute(SEAT);
            } else {
                // Another session, or a later stay of this one: what is in memory here is of the former.
                bound.leaveSilently = same;
                http.invalidate();
                http = null;
            }
        } else if (http != null) {
            // Whoever made this session id may not share what is bound to it now.
            request.changeSessionId();
        }
        Seat seat = new Seat(claims.key, claims.session, claims.generation, true);
        seat.agent = agent;
        seat.ticket = ticket;
        put(seat, http == null ? request.getSession(true) : http);
        if (agent != null) {
            settler.add(seat);
        }
    }

    private void put(Seat seat, HttpSession http) {
        http.setAttribute(KEY, seat.key);
        if (seat.session != null) {
            http.setAttribute(SESSION, seat.session);
            http.setAttribute(GENERATION, seat.generation);
        }
        // Its valueBound registers it.
        http.setAttribute(SEAT, seat);
    }

    /**
     * Where a client without a seat gets one; false when nobody says where that is, or nobody would open. A closed door is no better
     * than what the client has here: it is served, and adopted when a director comes back.
     */
    private boolean goToDoor(HttpServletRequest request, HttpServletResponse response, String back) throws IOException {
        String door = back != null ? back : settings.front == null ? null : settings.front + cleanTarget(request);
        if (door == null || directors.away) {
            return false;
        }
        redirect(request, response, door);
        return true;
    }

    private static void redirect(HttpServletRequest request, HttpServletResponse response, String target) {
        // 307 keeps the method and the body, which nobody could send again.
        response.setStatus(isReading(request) ? HttpServletResponse.SC_SEE_OTHER : HttpServletResponse.SC_TEMPORARY_REDIRECT);
        response.setHeader("Location", target);
        response.setHeader("Cache-Control", "no-store");
        response.setHeader("Referrer-Policy", "no-referrer");
    }

    private static boolean isReading(HttpServletRequest request) {
        return "GET".equals(request.getMethod()) || "HEAD".equals(request.getMethod());
    }

    private static boolean isNavigation(HttpServletRequest request) {
        String mode = request.getHeader("Sec-Fetch-Mode");
        String accept = request.getHeader("Accept");
        boolean wantsPage = mode != null ? "navigate".equals(mode) : accept != null && accept.contains("text/html");
        return wantsPage && isReading(request);
    }

    private boolean isExempt(HttpServletRequest request) {
        String path = request.getRequestURI();
        return settings.exempt.stream().anyMatch(path::startsWith);
    }

    private static List<String> cookies(HttpServletRequest request) {
        List<String> tickets = new ArrayList<>();
        Cookie[] cookies = request.getCookies();
        for (Cookie cookie : cookies == null ? new Cookie[0] : cookies) {
            if (TICKET.equals(cookie.getName()) && !cookie.getValue().isEmpty() && tickets.size() < COOKIES_MAX) {
                tickets.add(cookie.getValue());
            }
        }
        return tickets;
    }

    private void clearCookie(HttpServletResponse response) {
        // Where the domain is not known it goes by itself after a minute and a half, and is taken only once anyway.
        if (settings.cookieDomain != null) {
            String gone = TICKET + "=; Domain=" + settings.cookieDomain + "; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=";
            // A cookie goes only by the attributes that it came with, and those depend on the pool's `embed`.
            response.addHeader("Set-Cookie", gone + "Lax");
            response.addHeader("Set-Cookie", gone + "None; Partitioned");
        }
    }

    private void showHealth(HttpServletResponse response) throws IOException {
        Map<String, Object> report = new LinkedHashMap<>();
        report.put("maitred", 1L);
        report.put("server", settings.server);
        report.putAll(report());
        response.setContentType("application/json");
        response.setHeader("Cache-Control", "no-store");
        response.getOutputStream().write(Json.write(report).getBytes(StandardCharsets.UTF_8));
    }

    /** What this server says of itself, in beats and at its health path. Left out is unknown. */
    private Map<String, Object> report() {
        Map<String, Object> report = new LinkedHashMap<>();
        report.put("incarnation", incarnation);
        report.put("sessions", (long) seats.size());
        if (settings.capacity > 0) {
            report.put("capacity", settings.capacity);
        }
        report.put("draining", Boolean.TRUE.equals(context.getAttribute(DRAINING)));
        Map<String, Object> depends = new TreeMap<>();
        for (String name : Collections.list(context.getAttributeNames())) {
            if (name.startsWith(DEPENDS)) {
                Object word = context.getAttribute(name);
                boolean up = "up".equals(word) || Boolean.TRUE.equals(word);
                depends.put(name.substring(DEPENDS.length()), up ? "up" : "down");
            }
        }
        if (!depends.isEmpty()) {
            report.put("depends", depends);
        }
        return report;
    }

    // ------------------------------------------------------------------------------------------ addresses

    /** The ticket in a query; the last one, for a director appends its own. */
    static String ticketIn(String query) {
        String found = null;
        for (String pair : query == null ? new String[0] : query.split("&")) {
            if (isTicket(pair)) {
                int equals = pair.indexOf('=');
                found = equals < 0 ? "" : pair.substring(equals + 1);
            }
        }
        return found;
    }

    /** A query without its tickets, whatever disguise their name wears; all other bytes stay. {@code null}: nothing is left. */
    static String withoutTicket(String query) {
        if (query == null || ticketIn(query) == null) {
            return query;
        }
        StringBuilder rest = new StringBuilder();
        for (String pair : query.split("&", -1)) {
            if (!isTicket(pair)) {
                rest.append(rest.length() == 0 ? "" : "&").append(pair);
            }
        }
        return rest.length() == 0 ? null : rest.toString();
    }

    private static boolean isTicket(String pair) {
        int equals = pair.indexOf('=');
        String name = equals < 0 ? pair : pair.substring(0, equals);
        if (name.indexOf('%') < 0) {
            return name.equals(TICKET);
        }
        try {
            return java.net.URLDecoder.decode(name, "UTF-8").equals(TICKET);
        } catch (IllegalArgumentException | IOException malformed) {
            return false;
        }
    }

    private static String cleanTarget(HttpServletRequest request) {
        String query = withoutTicket(request.getQueryString());
        String path = safePath(request.getRequestURI());
        return query == null || !isPrintable(query) ? path : path + "?" + query;
    }

    /** A path that leads nowhere but to its own host: a browser takes two slashes, also turned ones, for a host's name. */
    static String safePath(String path) {
        int at = 0;
        while (at < path.length() && (path.charAt(at) == '/' || path.charAt(at) == '\\')) {
            at++;
        }
        String rest = path.substring(at);
        return isPrintable(rest) && rest.indexOf('#') < 0 ? "/" + rest : "/";
    }

    private static boolean isPrintable(String text) {
        return text.chars().allMatch(letter -> letter > 0x20 && letter < 0x7f);
    }

    /** A path segment. */
    static String encode(String text) {
        StringBuilder encoded = new StringBuilder();
        for (byte octet : text.getBytes(StandardCharsets.UTF_8)) {
            char letter = (char) (octet & 0xff);
            boolean plain = letter < 0x80 && (Character.isLetterOrDigit(letter) || "-._~".indexOf(letter) >= 0);
            encoded.append(plain ? String.valueOf(letter) : String.format("%%%02X", (int) letter));
        }
        return encoded.toString();
    }

    static String hex(byte[] bytes) {
        StringBuilder text = new StringBuilder();
        for (byte octet : bytes) {
            text.append(String.format("%02x", octet & 0xff));
        }
        return text.toString();
    }

    // ------------------------------------------------------------------------------------------ seats

    private static Seat seatOf(HttpSession http) {
        try {
            Object seat = http == null ? null : http.getAttribute(SEAT);
            // One that was reset is over, also where an application has taken it along to a new HttpSession.
            return seat instanceof Seat && !((Seat) seat).leaveSilently ? (Seat) seat : null;
        } catch (IllegalStateException invalidated) {
            return null;
        }
    }

    /**
     * One session, as long as it lies in an HttpSession: its end tells the directors. Survives with the HttpSession where the
     * container stores those over a restart.
     */
    static final class Seat implements HttpSessionBindingListener, HttpSessionActivationListener, Serializable {
        private static final long serialVersionUID = 1;

        final String key;
        /** {@code null} until a director has told it. */
        volatile String session;
        /** 0 until a director has told it. */
        volatile long generation;
        final boolean byTicket;
        /** Who has logged in, as the application says. */
        volatile String agent;
        /** Held while something about it is said to a director, so that words keep their order. */
        final ReentrantLock wire = new ReentrantLock();
        /** Requests that are under way. */
        final AtomicInteger requests = new AtomicInteger();

        /** Who has logged in, as a director knows. */
        transient volatile String confirmed;
        /** The HttpSession is gone. */
        transient volatile boolean ended;
        /** Not to be told: it was reset, or another seat takes its place. */
        transient volatile boolean leaveSilently;
        /** It is not the current seat, as a director has said. */
        transient volatile boolean stale;
        /** It was not where it belongs, at the last look. */
        transient volatile boolean missing;
        /** The latest one that was taken for it. */
        transient volatile String ticket;
        transient volatile HttpSession http;
        transient volatile MaitredFilter filter;
        /** Not transient, because a final field is never set again; empty when it is stored. */
        final Waiting writing = new Waiting();

        Seat(String key, String session, long generation, boolean byTicket) {
            this.key = key;
            this.session = session;
            this.generation = generation;
            this.byTicket = byTicket;
        }

        @Override
        public void valueBound(HttpSessionBindingEvent event) {
            MaitredFilter filter = of(event.getSession().getServletContext());
            if (filter != null) {
                filter.attach(this, event.getSession());
            }
        }

        @Override
        public void valueUnbound(HttpSessionBindingEvent event) {
            MaitredFilter filter = this.filter;
            if (filter != null && isOf(event.getSession())) {
                filter.detach(this);
            }
        }

        /** An application may have taken it along to a new HttpSession before the old one ended. */
        private boolean isOf(HttpSession leaving) {
            try {
                return http == null || http.getId().equals(leaving.getId());
            } catch (IllegalStateException invalidated) {
                return true;
            }
        }

        @Override
        public void sessionWillPassivate(HttpSessionEvent event) {
            MaitredFilter filter = this.filter;
            if (filter != null) {
                leaveSilently = true;
                filter.detach(this);
            }
        }

        @Override
        public void sessionDidActivate(HttpSessionEvent event) {
            HttpSession http = event.getSession();
            ServletContext context = http.getServletContext();
            MaitredFilter filter = of(context);
            if (filter != null) {
                filter.attach(this, http);
                return;
            }
            // Containers bring sessions back before they start filters.
            synchronized (context) {
                Object known = context.getAttribute(AWAKENED);
                @SuppressWarnings("unchecked")
                Collection<Object[]> awakened = known instanceof Collection ? (Collection<Object[]>) known
                        : new ConcurrentLinkedQueue<>();
                awakened.add(new Object[] {this, http});
                context.setAttribute(AWAKENED, awakened);
            }
        }
    }

    /** A state that is to be written. */
    static final class Writing {
        final String state;
        final CompletableFuture<Boolean> written = new CompletableFuture<>();

        Writing(String state) {
            this.state = state;
        }
    }

    /** The state that a seat wants written, if any. Stored as nothing. */
    static final class Waiting implements Serializable {
        private static final long serialVersionUID = 1;
        private transient Writing writing;

        synchronized Writing getAndSet(Writing next) {
            Writing before = writing;
            writing = next;
            return before;
        }

        synchronized Writing get() {
            return writing;
        }

        synchronized void done(Writing done) {
            if (writing == done) {
                writing = null;
            }
        }
    }

    private void welcomeAwakened() {
        Object awakened = context.getAttribute(AWAKENED);
        if (awakened instanceof Collection) {
            for (Object each : (Collection<?>) awakened) {
                attach((Seat) ((Object[]) each)[0], (HttpSession) ((Object[]) each)[1]);
            }
            context.removeAttribute(AWAKENED);
        }
    }

    private void attach(Seat seat, HttpSession http) {
        if (closed || seat.leaveSilently) {
            return;
        }
        seat.http = http;
        seat.filter = this;
        seat.ended = false;
        if (seats.add(seat)) {
            heldSeq.incrementAndGet();
            if (seat.agent != null) {
                settler.add(seat);
            }
        }
    }

    private void detach(Seat seat) {
        seat.ended = true;
        if (seats.remove(seat) && !closed) {
            heldSeq.incrementAndGet();
            settler.add(seat);
        }
    }

    /** The application has said so by an attribute, or its container knows. */
    private void noteLogin(HttpServletRequest request) {
        try {
            HttpSession http = request.getSession(false);
            if (http == null || closed) {
                return;
            }
            Object agent = http.getAttribute(AGENT);
            if (agent == null && settings.remoteUser) {
                agent = request.getRemoteUser();
            }
            if (agent instanceof String) {
                Seat seat = seatOf(http);
                if (seat == null || !agent.equals(seat.agent)) {
                    checkAgent((String) agent);
                    loggedIn(request, http, (String) agent);
                }
            }
        } catch (IllegalStateException invalidated) {
            // The request has ended the session that it began with.
        } catch (IllegalArgumentException unusable) {
            LOG.warning("maitred: " + unusable.getMessage());
        }
    }

    private void loggedIn(HttpServletRequest request, HttpSession http, String agent) {
        Seat seat = seatOf(http);
        if (seat == null) {
            // An application that gives each login a new HttpSession: the seat goes along.
            Object before = request.getAttribute(SEAT);
            seat = before instanceof Seat && !((Seat) before).leaveSilently ? (Seat) before : new Seat(agent, null, 0, false);
            put(seat, http);
        }
        seat.agent = agent;
        settler.add(seat);
    }

    private boolean isHeldElsewhere(Seat gone) {
        return seats.stream().anyMatch(seat -> seat != gone && seat.key.equals(gone.key)
                && (gone.session == null || seat.session == null || gone.session.equals(seat.session)));
    }

    // ------------------------------------------------------------------------------------------ asking on behalf of a request

    /** Never longer than {@code call-timeout}, and not at all while nobody is there to be asked. */
    private <T> T ask(Callable<T> question, T otherwise) {
        if (directors.away || closed || settings.directors.isEmpty()) {
            return otherwise;
        }
        Future<T> answer;
        try {
            answer = asking.submit(question);
        } catch (RejectedExecutionException full) {
            return otherwise;
        }
        try {
            return answer.get(settings.callMillis, TimeUnit.MILLISECONDS);
        } catch (TimeoutException late) {
            answer.cancel(true);
            return otherwise;
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
            return otherwise;
        } catch (ExecutionException failed) {
            LOG.log(Level.FINE, "maitred: a question failed", failed.getCause());
            return otherwise;
        }
    }

    // ------------------------------------------------------------------------------------------ beats

    /** Tells a director of this server, again and again, and carries out what it is told. */
    private final class Beats implements Runnable {
        final Thread thread = daemon(this, "beats");
        private static final long INTERVAL_MIN_MS = 100;
        private static final long INTERVAL_MAX_MS = 30_000;
        private static final long KEYS_EVERY_MS = 300_000;
        private static final long SWEEP_EVERY_MS = 30_000;

        private long intervalMillis = 2000;
        private boolean needHeld;
        /** The number for which a director last had a list; if it wants it again, it has forgotten. */
        private long known;
        /** How often the directors had changed when one last answered. */
        private int turns;
        private long keysAt;
        private long sweptAt = now();
        private boolean poked;
        private String complaint = "";
        /** Orders that were carried out, the oldest first. */
        private final Set<String> carriedOut = new LinkedHashSet<>();
        /** Those that a director has not heard of. */
        private final Set<String> done = new LinkedHashSet<>();

        @Override
        public void run() {
            while (!closed) {
                try {
                    fetchKeys();
                    sweep();
                    boolean again = beat();
                    for (int round = 0; again && round < 3; round++) {
                        again = beat();
                    }
                } catch (RuntimeException unforeseen) {
                    LOG.log(Level.WARNING, "maitred: a beat failed", unforeseen);
                }
                rest();
            }
        }

        synchronized void poke() {
            poked = true;
            notifyAll();
        }

        private synchronized void rest() {
            // Servers that were started together need not beat together.
            long until = now() + intervalMillis - (long) (Math.random() * intervalMillis / 10);
            try {
                for (long left = until - now(); left > 0 && !poked && !closed; left = until - now()) {
                    wait(left);
                }
            } catch (InterruptedException interrupted) {
                // Only destroy does that.
            }
            poked = false;
        }

        /** True when there is something to say at once: the list that was asked for, orders that are done. */
        private boolean beat() {
            long seq = heldSeq.get();
            boolean tellHeld = needHeld && seats.size() <= HELD_MAX;
            List<String> telling = new ArrayList<>(done).subList(0, Math.min(done.size(), DONE_MAX));
            Map<String, Object> body = report();
            body.put("held_seq", seq);
            if (tellHeld) {
                body.put("held", held());
            }
            if (!telling.isEmpty()) {
                body.put("done", telling);
            }
            Answer answer = directors.beat("/v1/servers/" + encode(settings.server) + "/heartbeat", Json.write(body));
            if (answer == null) {
                return false;
            }
            if (answer.status != 200) {
                // A list that is too long must not silence the rest.
                needHeld = needHeld && !tellHeld;
                complain("a director refuses beats: " + answer.complaint());
                return false;
            }
            complain("");
            Map<String, Object> said = answer.object();
            intervalMillis = Math.max(INTERVAL_MIN_MS, Math.min(INTERVAL_MAX_MS, millis(said.get("interval"), intervalMillis)));
            boolean wanted = Boolean.TRUE.equals(said.get("need_held"));
            int turnsNow = directors.turns.get();
            if (wanted && !needHeld && (seq == known || turnsNow != turns)) {
                // It has started anew, or is another one. It may not know who is logged in either.
                seats.forEach(seat -> seat.confirmed = null);
                seats.stream().filter(seat -> seat.agent != null).forEach(settler::add);
            }
            if (!wanted) {
                known = seq;
                turns = turnsNow;
            }
            boolean listNow = wanted && !tellHeld && seats.size() <= HELD_MAX;
            needHeld = wanted;
            done.removeAll(telling);
            boolean obeyed = obey(said.get("orders"));
            settler.wake();
            return listNow || obeyed;
        }

        private List<Object> held() {
            // One entry for each session: of two browsers that share one, the later stay counts.
            Map<String, Seat> latest = new HashMap<>();
            for (Seat seat : seats) {
                String place = seat.key + "\n" + (seat.session == null ? "" : seat.session);
                latest.merge(place, seat, (a, b) -> a.generation >= b.generation ? a : b);
            }
            List<Object> held = new ArrayList<>(latest.size());
            for (Seat seat : latest.values()) {
                Map<String, Object> entry = new LinkedHashMap<>();
                entry.put("key", seat.key);
                if (seat.session != null) {
                    entry.put("session", seat.session);
                }
                if (seat.generation > 0) {
                    entry.put("generation", seat.generation);
                }
                entry.put("via", seat.byTicket ? "ticket" : "self");
                held.add(entry);
            }
            return held;
        }

        private boolean obey(Object orders) {
            boolean obeyed = false;
            for (Object each : orders instanceof List ? (List<?>) orders : Collections.emptyList()) {
                if (!(each instanceof Map)) {
                    continue;
                }
                Map<?, ?> order = (Map<?, ?>) each;
                Object id = order.get("id");
                Object key = order.get("reset");
                // What this filter does not understand is not done, and not said to be done.
                if (!(id instanceof String) || !(key instanceof String)) {
                    continue;
                }
                if (carriedOut.add((String) id)) {
                    reset((String) key, order.get("session"), order.get("generation"), String.valueOf(order.get("reason")));
                    obeyed = true;
                }
                done.add((String) id);
            }
            for (Iterator<String> oldest = carriedOut.iterator(); carriedOut.size() > ORDERS_KEPT && oldest.hasNext();) {
                oldest.next();
                oldest.remove();
            }
            return obeyed;
        }

        private void reset(String key, Object session, Object generation, String reason) {
            int count = 0;
            for (Seat seat : seats) {
                boolean meant = seat.key.equals(key)
                        && (!(session instanceof String) || seat.session == null || session.equals(seat.session))
                        // A later stay than the one that was listed is not the one that is over.
                        && (!(generation instanceof Long) || seat.generation <= (Long) generation);
                if (meant) {
                    end(seat, reason);
                    count++;
                }
            }
            LOG.info("maitred: reset " + count + " session(s): " + reason);
        }

        private void end(Seat seat, String reason) {
            seat.leaveSilently = true;
            HttpSession http = seat.http;
            try {
                if (http != null) {
                    http.setAttribute(RESET, reason);
                    http.invalidate();
                }
            } catch (IllegalStateException gone) {
                // It has ended by itself.
            } catch (RuntimeException listener) {
                LOG.log(Level.WARNING, "maitred: a listener failed while a session was reset", listener);
            }
            detach(seat);
        }

        /** An HttpSession that ended while it was being given its seat has told nobody. */
        private void sweep() {
            if (now() - sweptAt > SWEEP_EVERY_MS) {
                sweptAt = now();
                for (Seat seat : seats) {
                    boolean missing = seatOf(seat.http) != seat;
                    // It is not there yet while it is being put there: missing twice is missing.
                    if (missing && seat.missing) {
                        detach(seat);
                    }
                    seat.missing = missing;
                }
            }
        }

        private void fetchKeys() {
            boolean due = keysAt == 0 || now() - keysAt > KEYS_EVERY_MS;
            if (directors.away || (!due && !tickets.wantsKeys(now()))) {
                return;
            }
            Answer answer = directors.ask("GET", "/v1/jwks.json", null, settings.callMillis);
            if (answer != null && answer.status == 200) {
                tickets.learn(answer.object());
                keysAt = now();
            }
        }

        private void complain(String now) {
            if (!now.equals(complaint)) {
                complaint = now;
                LOG.log(now.isEmpty() ? Level.INFO : Level.WARNING, "maitred: {0}", now.isEmpty() ? "a director takes beats" : now);
            }
        }
    }

    /** Monotonic milliseconds, never 0. */
    private static long now() {
        return System.nanoTime() / 1_000_000 + 1_000_000_000_000L;
    }

    /** A number of seconds. */
    static long millis(Object told, long otherwise) {
        return told instanceof Number ? (long) (((Number) told).doubleValue() * 1000) : otherwise;
    }

    // ------------------------------------------------------------------------------------------ what the application did

    /** Tells the directors of logins, ends and states, in order for each session, again until one has taken it. */
    private final class Settler implements Runnable {
        final Thread thread = daemon(this, "settles");
        private final LinkedHashSet<Seat> unsettled = new LinkedHashSet<>();
        private final Set<String> complaints = Collections.synchronizedSet(new HashSet<>());

        synchronized void add(Seat seat) {
            if (settings.directors.isEmpty()) {
                return;
            }
            if (unsettled.size() >= UNSETTLED_MAX) {
                // The lists of beats tell the same, only later.
                unsettled.remove(unsettled.iterator().next());
            }
            unsettled.add(seat);
            notifyAll();
        }

        synchronized void wake() {
            notifyAll();
        }

        @Override
        public void run() {
            while (!closed) {
                Seat seat = next();
                try {
                    if (seat != null && !settle(seat)) {
                        add(seat);
                        rest();
                    }
                } catch (RuntimeException unforeseen) {
                    LOG.log(Level.WARNING, "maitred: a session could not be settled", unforeseen);
                }
            }
        }

        /** Until the next beat was answered. */
        private synchronized void rest() {
            try {
                if (!closed) {
                    wait(1000);
                }
            } catch (InterruptedException interrupted) {
                // Only destroy does that.
            }
        }

        private synchronized Seat next() {
            try {
                while (!closed && (unsettled.isEmpty() || directors.away)) {
                    wait(1000);
                }
            } catch (InterruptedException interrupted) {
                return null;
            }
            Iterator<Seat> first = unsettled.iterator();
            Seat seat = first.hasNext() ? first.next() : null;
            unsettled.remove(seat);
            return seat;
        }

        /** False when nobody could be told. */
        private boolean settle(Seat seat) {
            seat.wire.lock();
            try {
                if (seat.ended && seat.requests.get() > 0) {
                    // The end of the request looks again.
                    return true;
                }
                boolean over = seat.leaveSilently || seat.stale;
                if (!over && !seat.ended && !confirm(seat)) {
                    return false;
                }
                Writing writing = seat.writing.get();
                if (writing != null) {
                    Answer answer = over ? null : write(seat, writing);
                    if (!over && isUnheard(answer)) {
                        return false;
                    }
                    seat.writing.done(writing);
                    writing.written.complete(answer != null && answer.isGood());
                }
                // What no director has heard of needs no end; the lists tell the rest.
                boolean known = seat.generation > 0;
                if (seat.ended && !seat.leaveSilently && !seat.stale && known && !isHeldElsewhere(seat)) {
                    Answer answer = directors.ask("POST", path(seat, "end"), Json.write(fence(seat)), settings.callMillis);
                    return !isUnheard(answer) && settled(seat, "end", answer);
                }
                return true;
            } finally {
                seat.wire.unlock();
            }
        }

        private boolean confirm(Seat seat) {
            String agent = seat.agent;
            if (agent == null || agent.equals(seat.confirmed)) {
                return true;
            }
            Map<String, Object> body = fence(seat);
            body.put("agent", agent);
            Answer answer = directors.ask("POST", path(seat, "confirm"), Json.write(body), settings.callMillis);
            if (isUnheard(answer)) {
                return false;
            }
            if (answer.isGood()) {
                seat.confirmed = agent;
                learnSeat(seat, answer.object());
            }
            return settled(seat, "confirm", answer);
        }

        /** A walk-in learns what the directors call it, so that they can speak of the same stay. */
        private void learnSeat(Seat seat, Map<String, Object> said) {
            Object session = said.get("session");
            Object generation = said.get("generation");
            if (!seat.byTicket && seat.generation == 0 && session instanceof String && generation instanceof Long) {
                seat.session = (String) session;
                seat.generation = (Long) generation;
                heldSeq.incrementAndGet();
            }
        }

        private Answer write(Seat seat, Writing writing) {
            Map<String, Object> body = fence(seat);
            body.put("state", writing.state);
            Answer answer = directors.ask("PUT", path(seat, "state"), Json.write(body), settings.callMillis);
            if (!isUnheard(answer)) {
                settled(seat, "state", answer);
            }
            return answer;
        }

        /** The agent's state, for a request that waits. */
        String read(Seat seat) {
            seat.wire.lock();
            try {
                for (int attempt = 0; attempt < 2; attempt++) {
                    if (!confirm(seat)) {
                        return null;
                    }
                    Answer answer = directors.ask("GET", path(seat, "state"), null, settings.callMillis);
                    if (isUnheard(answer)) {
                        return null;
                    }
                    if (answer.status == 200) {
                        Object state = answer.object().get("state");
                        return state instanceof String ? (String) state : Json.write(state);
                    }
                    if (answer.status == 404) {
                        return "";
                    }
                    // It has forgotten who is logged in: say it again, once.
                    seat.confirmed = null;
                }
                return null;
            } finally {
                seat.wire.unlock();
            }
        }

        private boolean isUnheard(Answer answer) {
            return answer == null || answer.comeAgain();
        }

        private String path(Seat seat, String what) {
            String path = "/v1/sessions/" + encode(settings.pool) + "/" + encode(seat.key) + "/" + what;
            return seat.session == null ? path : path + "?session=" + encode(seat.session);
        }

        /** Which seat is meant. */
        private Map<String, Object> fence(Seat seat) {
            Map<String, Object> fence = new LinkedHashMap<>();
            fence.put("server", settings.server);
            fence.put("incarnation", incarnation);
            if (seat.generation > 0) {
                fence.put("generation", seat.generation);
            }
            return fence;
        }

        /** True: what was answered is final. */
        private boolean settled(Seat seat, String what, Answer answer) {
            if (answer.status == 409) {
                // It is somebody else's by now. If it is to end here, an order will say so.
                seat.stale = true;
            } else if (!answer.isGood() && complaints.add(what + answer.status) && complaints.size() < 32) {
                LOG.warning("maitred: a director refuses a session's " + what + ": " + answer.complaint());
            }
            return true;
        }
    }

    // ------------------------------------------------------------------------------------------ directors

    /** Several directors, in the order in which they are preferred: those of the own datacenter first. */
    static final class Directors {
        /** Whoever took the place of the first one is left after this time, if the first one answers. */
        private static final long PREFERENCE_EVERY_MS = 30_000;
        private static final int ATTEMPT_MIN_MS = 100;
        /** Nobody waits for a beat, and a director that is only slow is not away. */
        private static final int BEAT_MS = 5000;

        final Wire wire;
        private final List<String> configured;
        private final int callMillis;
        private volatile String current;
        private volatile long preferenceAt = now();
        /** None of them answered the last time. */
        volatile boolean away;
        /** Raised when one does not answer, or another one does. */
        final AtomicInteger turns = new AtomicInteger();

        Directors(Settings settings) throws ServletException {
            wire = new Wire(settings);
            configured = settings.directors;
            callMillis = settings.callMillis;
            current = configured.isEmpty() ? null : configured.get(0);
        }

        /** {@code null} when none of them answers within the time. */
        Answer ask(String method, String path, String body, int millis) {
            long end = now() + millis;
            List<String> order = order(current);
            Answer answer = null;
            for (int index = 0; index < order.size() && end - now() >= ATTEMPT_MIN_MS; index++) {
                // One that hangs leaves time for the next.
                int share = (int) ((end - now()) / Math.min(2, order.size() - index));
                Answer said = attempt(order.get(index), method, path, body, share);
                answer = said == null ? answer : said;
                if (said != null && !said.comeAgain()) {
                    return said;
                }
            }
            noteAway(answer == null);
            return answer;
        }

        /** The same, with time for each of them: nobody waits for it. */
        Answer beat(String path, String body) {
            String first = current;
            if (!configured.get(0).equals(current) && now() - preferenceAt > PREFERENCE_EVERY_MS) {
                preferenceAt = now();
                first = configured.get(0);
            }
            wire.refresh();
            Answer answer = null;
            for (String director : order(first)) {
                Answer said = attempt(director, "PUT", path, body, Math.max(callMillis, BEAT_MS));
                answer = said == null ? answer : said;
                if (said != null && !said.comeAgain()) {
                    return said;
                }
            }
            noteAway(answer == null);
            return answer;
        }

        /** A ticket's claims from whoever knows its key. */
        Verdict verify(String ticket, int millis, Tickets tickets) {
            String body = Json.write(Collections.singletonMap("ticket", ticket));
            long end = now() + millis;
            Verdict verdict = Verdict.UNKNOWN;
            for (String director : order(current)) {
                long left = end - now();
                if (left < ATTEMPT_MIN_MS) {
                    break;
                }
                Answer answer = attempt(director, "POST", "/v1/tickets/verify", body, (int) left);
                if (answer == null) {
                    continue;
                }
                Map<String, Object> said = answer.object();
                if (answer.status == 200) {
                    return tickets.accept(said, System.currentTimeMillis() / 1000);
                }
                if (answer.status == 400) {
                    verdict = Verdict.refused(Claims.door(said.get("return")));
                    // Directors without a common key file know their own tickets only.
                    if (!"unknown_key".equals(said.get("reason"))) {
                        return verdict;
                    }
                }
            }
            return verdict;
        }

        private List<String> order(String first) {
            List<String> order = new ArrayList<>(configured);
            order.sort(Comparator.comparing((String director) -> !director.equals(first)));
            return order;
        }

        /** {@code null} when nothing came that a director says. */
        private Answer attempt(String director, String method, String path, String body, int millis) {
            try {
                Answer answer = wire.call(director + path, method, body, millis);
                if (!answer.comeAgain()) {
                    if (!director.equals(current)) {
                        preferenceAt = now();
                        current = director;
                        turns.incrementAndGet();
                    }
                    noteAway(false);
                    return answer;
                }
                LOG.fine(() -> "maitred: " + director + " answers " + answer.status);
                return answer.object().containsKey("code") ? answer : null;
            } catch (IOException failed) {
                turns.incrementAndGet();
                LOG.log(Level.FINE, failed, () -> "maitred: " + director + " does not answer");
                return null;
            }
        }

        private synchronized void noteAway(boolean now) {
            if (away != now) {
                away = now;
                LOG.log(now ? Level.WARNING : Level.INFO,
                        now ? "maitred: no director answers; going on without" : "maitred: a director answers again");
            }
        }
    }

    /** What a director answered. */
    static final class Answer {
        final int status;
        private final String body;

        Answer(int status, String body) {
            this.status = status;
            this.body = body;
        }

        /** It lives and cannot take this now. */
        boolean comeAgain() {
            return status >= 500 || status == 408 || status == 429;
        }

        boolean isGood() {
            return status >= 200 && status < 300;
        }

        /** The body, if it is a JSON object; else an empty one. */
        @SuppressWarnings("unchecked")
        Map<String, Object> object() {
            try {
                Object value = Json.read(body);
                return value instanceof Map ? (Map<String, Object>) value : Collections.emptyMap();
            } catch (IllegalArgumentException none) {
                return Collections.emptyMap();
            }
        }

        /** Status and code: what a log may say. The detail may name an agent. */
        String complaint() {
            Object code = object().get("code");
            return status + (code instanceof Long ? " (code " + code + ")" : "");
        }
    }

    /** HTTPS with a client certificate or a bearer token. Files that are replaced are read again. */
    static final class Wire {
        private static final int BODY_BYTES_MAX = 4 << 20;
        private static final long LOOK_EVERY_MS = 10_000;

        private final Settings settings;
        private volatile SSLSocketFactory sockets;
        private volatile String token;
        private String seen;
        private long lookedAt = now();

        Wire(Settings settings) throws ServletException {
            this.settings = settings;
            seen = stamp();
            try {
                load();
            } catch (IOException | GeneralSecurityException | IllegalArgumentException fault) {
                throw new ServletException("maitred: " + fault.getMessage(), fault);
            }
        }

        /** Certificates are renewed while we run. A half-written file changes nothing. */
        void refresh() {
            if (now() - lookedAt < LOOK_EVERY_MS) {
                return;
            }
            lookedAt = now();
            String stamp = stamp();
            if (!stamp.equals(seen)) {
                try {
                    load();
                    seen = stamp;
                    LOG.info("maitred: certificates and token were read again");
                } catch (IOException | GeneralSecurityException | IllegalArgumentException fault) {
                    LOG.log(Level.WARNING, "maitred: the old certificates and token stay: {0}", fault.getMessage());
                }
            }
        }

        private String stamp() {
            StringBuilder stamp = new StringBuilder();
            for (File file : Arrays.asList(settings.ca, settings.cert, settings.key, settings.tokenFile)) {
                stamp.append(file == null ? "- " : file.lastModified() + "/" + file.length() + " ");
            }
            return stamp.toString();
        }

        private void load() throws IOException, GeneralSecurityException {
            SSLContext tls = SSLContext.getInstance("TLS");
            TrustManager[] trust = settings.ca == null ? null : trust(settings.ca);
            KeyManagerFactory keys = null;
            if (settings.cert != null) {
                KeyStore store = KeyStore.getInstance("PKCS12");
                store.load(null, null);
                char[] none = new char[0];
                Certificate[] chain = certificates(settings.cert).toArray(new Certificate[0]);
                store.setKeyEntry("maitred", privateKey(settings.key), none, chain);
                keys = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
                keys.init(store, none);
            }
            tls.init(keys == null ? null : keys.getKeyManagers(), trust, null);
            String word = settings.tokenFile == null ? null : text(settings.tokenFile).trim();
            if (word != null && !isPrintable(word)) {
                throw new IllegalArgumentException(settings.tokenFile + ": is no token");
            }
            token = word;
            sockets = tls.getSocketFactory();
        }

        private static String text(File file) throws IOException {
            return new String(Files.readAllBytes(file.toPath()), StandardCharsets.UTF_8);
        }

        private static TrustManager[] trust(File file) throws IOException, GeneralSecurityException {
            KeyStore store = KeyStore.getInstance("PKCS12");
            store.load(null, null);
            int number = 0;
            for (Certificate authority : certificates(file)) {
                store.setCertificateEntry("ca" + number++, authority);
            }
            TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
            trust.init(store);
            return trust.getTrustManagers();
        }

        private static Collection<? extends Certificate> certificates(File file) throws IOException, GeneralSecurityException {
            Collection<? extends Certificate> found = CertificateFactory.getInstance("X.509")
                    .generateCertificates(new ByteArrayInputStream(Files.readAllBytes(file.toPath())));
            if (found.isEmpty()) {
                throw new IllegalArgumentException(file + ": holds no certificate");
            }
            return found;
        }

        private static PrivateKey privateKey(File file) throws IOException, GeneralSecurityException {
            Matcher pem = Pattern.compile("-----BEGIN PRIVATE KEY-----([A-Za-z0-9+/=\\s]+)-----END").matcher(text(file));
            if (!pem.find()) {
                throw new IllegalArgumentException(file + ": holds no PKCS#8 key (openssl pkcs8 -topk8 -nodes makes one)");
            }
            byte[] der = Base64.getMimeDecoder().decode(pem.group(1));
            for (String algorithm : new String[] {"EC", "RSA", "Ed25519"}) {
                try {
                    return KeyFactory.getInstance(algorithm).generatePrivate(new PKCS8EncodedKeySpec(der));
                } catch (GeneralSecurityException another) {
                    // The next one, then.
                }
            }
            throw new InvalidKeySpecException(file + ": is no key of a kind that this Java knows");
        }

        Answer call(String url, String method, String body, int millis) throws IOException {
            long end = now() + millis;
            HttpURLConnection connection = (HttpURLConnection) new URL(url).openConnection(Proxy.NO_PROXY);
            ((HttpsURLConnection) connection).setSSLSocketFactory(sockets);
            connection.setConnectTimeout(millis);
            connection.setReadTimeout(millis);
            connection.setInstanceFollowRedirects(false);
            connection.setUseCaches(false);
            connection.setRequestMethod(method);
            connection.setRequestProperty("Accept", "application/json");
            if (token != null) {
                connection.setRequestProperty("Authorization", "Bearer " + token);
            }
            boolean whole = false;
            try {
                if (body != null) {
                    connection.setDoOutput(true);
                    connection.setRequestProperty("Content-Type", "application/json");
                    connection.getOutputStream().write(body.getBytes(StandardCharsets.UTF_8));
                }
                int status = connection.getResponseCode();
                if (status < 0) {
                    throw new IOException("no HTTP");
                }
                InputStream stream = status >= 400 ? connection.getErrorStream() : connection.getInputStream();
                Answer answer = new Answer(status, stream == null ? "" : readAll(stream, end));
                whole = true;
                return answer;
            } finally {
                if (!whole) {
                    connection.disconnect();
                }
            }
        }

        /** To its end, so that the connection can be used again; within limits. */
        private static String readAll(InputStream stream, long end) throws IOException {
            try (InputStream input = stream) {
                ByteArrayOutputStream all = new ByteArrayOutputStream();
                byte[] part = new byte[8192];
                for (int count = input.read(part); count >= 0; count = input.read(part)) {
                    all.write(part, 0, count);
                    if (all.size() > BODY_BYTES_MAX || now() > end) {
                        throw new IOException("an answer that is too long or too slow");
                    }
                }
                return new String(all.toByteArray(), StandardCharsets.UTF_8);
            }
        }

        void close() {
            token = null;
        }
    }

    // ------------------------------------------------------------------------------------------ tickets

    /** What a ticket states, as far as a server needs it. */
    static final class Claims {
        final String key;
        final String session;
        final long generation;
        final String jti;
        final String back;

        private Claims(Map<String, Object> said) {
            key = text(said, "sub");
            session = text(said, "session");
            generation = number(said, "generation");
            jti = text(said, "jti");
            back = door(said.get("return"));
            checkAgent(key);
        }

        static String text(Map<String, Object> said, String name) {
            Object value = said.get(name);
            if (!(value instanceof String) || ((String) value).isEmpty()) {
                throw new IllegalArgumentException(name);
            }
            return (String) value;
        }

        static long number(Map<String, Object> said, String name) {
            Object value = said.get(name);
            if (!(value instanceof Long) || (Long) value < 0) {
                throw new IllegalArgumentException(name);
            }
            return (Long) value;
        }

        /** An address to go back to, or none. */
        static String door(Object told) {
            boolean usable = told instanceof String && ((String) told).startsWith("https://") && isPrintable((String) told);
            return usable ? (String) told : null;
        }
    }

    /** What came of a ticket. */
    static final class Verdict {
        /** Whether it is good could not be found out. */
        static final Verdict UNKNOWN = new Verdict(null, false, null);
        /** Not a director's. */
        static final Verdict BAD = new Verdict(null, false, null);

        /** Of a ticket that is good. */
        final Claims claims;
        /** The browser has its session. */
        final boolean bound;
        /** Where the client can begin again, as an authentic ticket says. */
        final String back;

        private Verdict(Claims claims, boolean bound, String back) {
            this.claims = claims;
            this.bound = bound;
            this.back = back;
        }

        static Verdict good(Claims claims) {
            return new Verdict(claims, false, claims.back);
        }

        static Verdict taken() {
            return new Verdict(null, true, null);
        }

        static Verdict refused(String back) {
            return new Verdict(null, false, back);
        }
    }

    /** Checks tickets with the directors' public keys: Ed25519 where this Java is 15 or later, P-256 everywhere. */
    static final class Tickets {
        private static final int BYTES_MAX = 4096;
        private static final long LEEWAY_SECONDS = 30;
        private static final long LIFETIME_SECONDS_MAX = 600;
        private static final long FETCH_EVERY_MS = 10_000;
        /** Before the 32 bytes of an Ed25519 key (RFC 8410). */
        private static final String ED25519 = "302a300506032b6570032100";
        private static final BigInteger P256_ORDER =
                new BigInteger("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551", 16);

        private final String server;
        private final String pool;
        private volatile Map<String, Key> keys = Collections.emptyMap();
        private volatile boolean unknownKey;
        private long fetchedAt;
        /** By its jti until when each is remembered; the oldest first. */
        private final LinkedHashMap<String, Long> taken = new LinkedHashMap<>();

        Tickets(String server, String pool) {
            this.server = server;
            this.pool = pool;
        }

        private static final class Key {
            final String algorithm;
            final PublicKey key;

            Key(String algorithm, PublicKey key) {
                this.algorithm = algorithm;
                this.key = key;
            }
        }

        /** A ticket of a key that we do not have has come, and it is not too early to look again. */
        synchronized boolean wantsKeys(long now) {
            if (!unknownKey || now - fetchedAt < FETCH_EVERY_MS) {
                return false;
            }
            unknownKey = false;
            fetchedAt = now;
            return true;
        }

        /** Takes a key set (RFC 7517). Keys of kinds that this Java does not know are left to the directors. */
        void learn(Map<String, Object> set) {
            Map<String, Key> found = new HashMap<>();
            Object list = set.get("keys");
            for (Object each : list instanceof List ? (List<?>) list : Collections.emptyList()) {
                if (each instanceof Map) {
                    Map<?, ?> jwk = (Map<?, ?>) each;
                    try {
                        found.put((String) jwk.get("kid"), key(jwk));
                    } catch (GeneralSecurityException | IllegalArgumentException | ClassCastException unusable) {
                        LOG.log(Level.FINE, "maitred: a ticket key of a kind that this Java does not know", unusable);
                    }
                }
            }
            keys = found;
        }

        private static Key key(Map<?, ?> jwk) throws GeneralSecurityException {
            String kind = jwk.get("kty") + " " + jwk.get("crv");
            byte[] x = base64(String.valueOf(jwk.get("x")));
            if (x.length != 32) {
                throw new IllegalArgumentException("x");
            }
            switch (kind) {
                case "OKP Ed25519": {
                    byte[] der = new BigInteger(ED25519 + hex(x), 16).toByteArray();
                    return new Key("EdDSA", KeyFactory.getInstance("Ed25519").generatePublic(new X509EncodedKeySpec(der)));
                }
                case "EC P-256": {
                    AlgorithmParameters curve = AlgorithmParameters.getInstance("EC");
                    curve.init(new ECGenParameterSpec("secp256r1"));
                    ECPoint point = new ECPoint(new BigInteger(1, x), new BigInteger(1, base64(String.valueOf(jwk.get("y")))));
                    ECPublicKeySpec spec = new ECPublicKeySpec(point, curve.getParameterSpec(ECParameterSpec.class));
                    return new Key("ES256", KeyFactory.getInstance("EC").generatePublic(spec));
                }
                default:
                    throw new IllegalArgumentException(kind);
            }
        }

        /** Nothing of a ticket is believed before its signature holds. */
        Verdict check(String ticket, long seconds) {
            if (ticket.length() > BYTES_MAX) {
                return Verdict.BAD;
            }
            String[] parts = ticket.split("\\.", -1);
            if (parts.length != 3) {
                return Verdict.BAD;
            }
            try {
                Map<String, Object> head = object(parts[0]);
                Object kid = head.get("kid");
                if (!Arrays.asList("alg", "kid", "typ").containsAll(head.keySet()) || !(kid instanceof String)) {
                    return Verdict.BAD;
                }
                Key key = keys.get(kid);
                if (!server.equals(object(parts[1]).get("aud"))) {
                    return Verdict.BAD;
                }
                if (key == null) {
                    unknownKey = true;
                    return Verdict.UNKNOWN;
                }
                // What a ticket says of its own algorithm can only be agreed with.
                if (!key.algorithm.equals(head.get("alg"))) {
                    return Verdict.BAD;
                }
                byte[] text = (parts[0] + "." + parts[1]).getBytes(StandardCharsets.US_ASCII);
                if (!isSigned(key, text, base64(parts[2]))) {
                    return Verdict.BAD;
                }
                return accept(object(parts[1]), seconds);
            } catch (IllegalArgumentException malformed) {
                return Verdict.BAD;
            } catch (GeneralSecurityException unable) {
                return Verdict.UNKNOWN;
            }
        }

        /** Authentic claims: are they for us, and now? */
        Verdict accept(Map<String, Object> said, long seconds) {
            try {
                if (!server.equals(said.get("aud")) || !pool.equals(said.get("pool"))) {
                    return Verdict.BAD;
                }
                Claims claims = new Claims(said);
                long issued = Claims.number(said, "iat");
                long expires = Claims.number(said, "exp");
                if (issued > seconds + LEEWAY_SECONDS || expires < issued || expires - issued > LIFETIME_SECONDS_MAX) {
                    return Verdict.BAD;
                }
                return expires + LEEWAY_SECONDS < seconds ? Verdict.refused(claims.back) : Verdict.good(claims);
            } catch (IllegalArgumentException missing) {
                return Verdict.BAD;
            }
        }

        /** Whether this ticket comes for the first time. */
        synchronized boolean isFirst(Claims claims) {
            long now = now();
            Iterator<Map.Entry<String, Long>> oldest = taken.entrySet().iterator();
            while (oldest.hasNext() && (oldest.next().getValue() < now || taken.size() > TICKETS_KEPT)) {
                oldest.remove();
            }
            return taken.putIfAbsent(claims.jti, now + TICKET_KEPT_MS) == null;
        }

        private static boolean isSigned(Key key, byte[] text, byte[] signature) throws GeneralSecurityException {
            if (signature.length != 64) {
                return false;
            }
            boolean edwards = "EdDSA".equals(key.algorithm);
            Signature verifier = Signature.getInstance(edwards ? "Ed25519" : "SHA256withECDSA");
            verifier.initVerify(key.key);
            verifier.update(text);
            byte[] encoded = edwards ? signature : der(signature);
            try {
                return encoded != null && verifier.verify(encoded);
            } catch (java.security.SignatureException malformed) {
                return false;
            }
        }

        /** Two numbers as Java before 9 wants them; {@code null} where one of them is none that a signature can have. */
        private static byte[] der(byte[] raw) {
            ByteArrayOutputStream numbers = new ByteArrayOutputStream();
            for (int half = 0; half < 2; half++) {
                BigInteger number = new BigInteger(1, Arrays.copyOfRange(raw, half * 32, half * 32 + 32));
                if (number.signum() == 0 || number.compareTo(P256_ORDER) >= 0) {
                    return null;
                }
                byte[] bytes = number.toByteArray();
                numbers.write(2);
                numbers.write(bytes.length);
                numbers.write(bytes, 0, bytes.length);
            }
            byte[] both = numbers.toByteArray();
            return ByteBuffer.allocate(both.length + 2).put((byte) 0x30).put((byte) both.length).put(both).array();
        }

        @SuppressWarnings("unchecked")
        private static Map<String, Object> object(String part) {
            try {
                Object value = Json.read(
                        StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(base64(part))).toString());
                if (value instanceof Map) {
                    return (Map<String, Object>) value;
                }
            } catch (CharacterCodingException notText) {
                // No object either.
            }
            throw new IllegalArgumentException("no object");
        }

        /** Base64url without padding and without anything else. */
        private static byte[] base64(String text) {
            byte[] bytes = Base64.getUrlDecoder().decode(text);
            if (!Base64.getUrlEncoder().withoutPadding().encodeToString(bytes).equals(text)) {
                throw new IllegalArgumentException("base64");
            }
            return bytes;
        }
    }

    // ------------------------------------------------------------------------------------------ configuration

    /** The init-params; a system property {@code maitred.<name>} stands in for one and wins. */
    static final class Settings {
        final String server;
        final String pool;
        final List<String> directors;
        final String front;
        final String healthPath;
        final String cookieDomain;
        final long capacity;
        final File ca;
        final File cert;
        final File key;
        final File tokenFile;
        final int callMillis;
        final List<String> exempt;
        final boolean remoteUser;

        private Settings(FilterConfig config) throws ServletException {
            server = required(config, "server");
            pool = required(config, "pool");
            directors = words(config, "directors");
            front = trimmed(word(config, "front"));
            healthPath = word(config, "health-path");
            cookieDomain = word(config, "cookie-domain");
            capacity = number(config, "capacity", 0, 0, 1_000_000);
            ca = file(config, "ca");
            cert = file(config, "cert");
            key = file(config, "key");
            tokenFile = file(config, "token-file");
            callMillis = (int) number(config, "call-timeout", 2000, 100, 30_000);
            exempt = words(config, "exempt");
            remoteUser = "remote-user".equals(word(config, "agent-from"));
            for (String url : directors) {
                if (!isOrigin(url)) {
                    throw new ServletException("maitred: directors: " + url + " is no https origin");
                }
            }
            if (front != null && !isOrigin(front)) {
                throw new ServletException("maitred: front: must be an https origin, like https://agents.example.com");
            }
            if ((cert == null) != (key == null)) {
                throw new ServletException("maitred: cert and key belong together");
            }
            if (!directors.isEmpty() && cert == null && tokenFile == null) {
                throw new ServletException("maitred: cert and key, or token-file, say who this server is");
            }
            if (directors.isEmpty()) {
                LOG.warning("maitred: no directors are named, so no ticket can be verified and no session be reset");
            }
        }

        static Settings read(FilterConfig config) throws ServletException {
            return new Settings(config);
        }

        static boolean isOrigin(String url) {
            try {
                URI uri = new URI(url);
                return "https".equals(uri.getScheme()) && uri.getHost() != null && uri.getRawUserInfo() == null
                        && uri.getRawPath().isEmpty() && uri.getRawQuery() == null && uri.getRawFragment() == null;
            } catch (URISyntaxException malformed) {
                return false;
            }
        }

        private static String trimmed(String url) {
            return url != null && url.endsWith("/") ? url.substring(0, url.length() - 1) : url;
        }

        private static String word(FilterConfig config, String name) {
            String word = System.getProperty("maitred." + name, config.getInitParameter(name));
            return word == null || word.trim().isEmpty() ? null : word.trim();
        }

        private static String required(FilterConfig config, String name) throws ServletException {
            String word = word(config, name);
            if (word == null) {
                throw new ServletException("maitred: " + name + " is missing (init-param, or -Dmaitred." + name + "=)");
            }
            return word;
        }

        private static List<String> words(FilterConfig config, String name) {
            String word = word(config, name);
            List<String> words = new ArrayList<>();
            for (String each : word == null ? new String[0] : word.split("[\\s,]+")) {
                words.add(trimmedOrigin(name, each));
            }
            return Collections.unmodifiableList(words);
        }

        private static String trimmedOrigin(String name, String word) {
            return "directors".equals(name) ? trimmed(word) : word;
        }

        private static File file(FilterConfig config, String name) {
            String word = word(config, name);
            return word == null ? null : new File(word);
        }

        private static long number(FilterConfig config, String name, long otherwise, long min, long max)
                throws ServletException {
            String word = word(config, name);
            try {
                long number = word == null ? otherwise : Long.parseLong(word);
                if (number >= min && number <= max) {
                    return number;
                }
            } catch (NumberFormatException none) {
                // Said below.
            }
            throw new ServletException("maitred: " + name + ": must be a number from " + min + " to " + max);
        }
    }

    // ------------------------------------------------------------------------------------------ JSON

    /** As much of RFC 8259 as beats and tickets need: strict, of bounded depth, each member once. */
    static final class Json {
        private static final int DEPTH_MAX = 32;

        private final String text;
        private int at;

        private Json(String text) {
            this.text = text;
        }

        /** Objects as maps, arrays as lists, whole numbers as {@link Long}, others as {@link Double}. */
        static Object read(String text) {
            Json json = new Json(text);
            Object value = json.value(0);
            json.space();
            if (json.at != text.length()) {
                throw json.fault();
            }
            return value;
        }

        static String write(Object value) {
            StringBuilder out = new StringBuilder();
            write(value, out);
            return out.toString();
        }

        private static void write(Object value, StringBuilder out) {
            if (value instanceof Map) {
                String comma = "{";
                for (Map.Entry<?, ?> member : ((Map<?, ?>) value).entrySet()) {
                    out.append(comma);
                    quote((String) member.getKey(), out);
                    out.append(':');
                    write(member.getValue(), out);
                    comma = ",";
                }
                out.append("{".equals(comma) ? "{}" : "}");
            } else if (value instanceof Collection) {
                String comma = "[";
                for (Object item : (Collection<?>) value) {
                    out.append(comma);
                    write(item, out);
                    comma = ",";
                }
                out.append("[".equals(comma) ? "[]" : "]");
            } else if (value instanceof String) {
                quote((String) value, out);
            } else {
                out.append(value);
            }
        }

        private static void quote(String text, StringBuilder out) {
            out.append('"');
            for (int at = 0; at < text.length(); at++) {
                char letter = text.charAt(at);
                if (letter == '"' || letter == '\\') {
                    out.append('\\').append(letter);
                } else if (letter < 0x20 || letter == 0x2028 || letter == 0x2029) {
                    out.append(String.format("\\u%04x", (int) letter));
                } else {
                    out.append(letter);
                }
            }
            out.append('"');
        }

        private IllegalArgumentException fault() {
            return new IllegalArgumentException("no JSON at " + at);
        }

        private void space() {
            while (at < text.length() && " \t\r\n".indexOf(text.charAt(at)) >= 0) {
                at++;
            }
        }

        private char peek() {
            space();
            if (at >= text.length()) {
                throw fault();
            }
            return text.charAt(at);
        }

        private void expect(char letter) {
            if (peek() != letter) {
                throw fault();
            }
            at++;
        }

        private Object value(int depth) {
            if (depth > DEPTH_MAX) {
                throw fault();
            }
            switch (peek()) {
                case '{':
                    return object(depth);
                case '[':
                    return array(depth);
                case '"':
                    return string();
                case 't':
                    return word("true", Boolean.TRUE);
                case 'f':
                    return word("false", Boolean.FALSE);
                case 'n':
                    return word("null", null);
                default:
                    return number();
            }
        }

        private Object word(String word, Object value) {
            if (!text.startsWith(word, at)) {
                throw fault();
            }
            at += word.length();
            return value;
        }

        private Map<String, Object> object(int depth) {
            Map<String, Object> members = new LinkedHashMap<>();
            expect('{');
            if (peek() == '}') {
                at++;
                return members;
            }
            for (;;) {
                peek();
                String name = string();
                expect(':');
                Object value = value(depth + 1);
                if (members.containsKey(name)) {
                    throw fault();
                }
                members.put(name, value);
                if (peek() == '}') {
                    at++;
                    return members;
                }
                expect(',');
            }
        }

        private List<Object> array(int depth) {
            List<Object> items = new ArrayList<>();
            expect('[');
            if (peek() == ']') {
                at++;
                return items;
            }
            for (;;) {
                items.add(value(depth + 1));
                if (peek() == ']') {
                    at++;
                    return items;
                }
                expect(',');
            }
        }

        private String string() {
            if (at >= text.length() || text.charAt(at) != '"') {
                throw fault();
            }
            at++;
            StringBuilder out = new StringBuilder();
            while (at < text.length()) {
                char letter = text.charAt(at++);
                if (letter == '"') {
                    return out.toString();
                }
                if (letter < 0x20) {
                    throw fault();
                }
                out.append(letter == '\\' ? escaped() : letter);
            }
            throw fault();
        }

        private char escaped() {
            if (at >= text.length()) {
                throw fault();
            }
            char letter = text.charAt(at++);
            int known = "\"\\/bfnrt".indexOf(letter);
            if (known >= 0) {
                return "\"\\/\b\f\n\r\t".charAt(known);
            }
            if (letter != 'u' || at + 4 > text.length()) {
                throw fault();
            }
            int code = 0;
            for (int digit = 0; digit < 4; digit++) {
                int value = Character.digit(text.charAt(at++), 16);
                if (value < 0) {
                    throw fault();
                }
                code = code * 16 + value;
            }
            return (char) code;
        }

        private static final Pattern NUMBER =
                Pattern.compile("-?(?:0|[1-9][0-9]{0,17})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?");

        private Object number() {
            Matcher matcher = NUMBER.matcher(text).region(at, text.length());
            if (!matcher.lookingAt()) {
                throw fault();
            }
            at = matcher.end();
            boolean whole = matcher.group(1) == null && matcher.group(2) == null;
            return whole ? (Object) Long.valueOf(matcher.group()) : (Object) Double.valueOf(matcher.group());
        }
    }
}
