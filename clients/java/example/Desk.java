package desk;

import java.io.IOException;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

import javax.servlet.ServletException;
import javax.servlet.http.HttpServlet;
import javax.servlet.http.HttpServletRequest;
import javax.servlet.http.HttpServletResponse;
import javax.servlet.http.HttpSession;
import javax.servlet.http.HttpSessionEvent;
import javax.servlet.http.HttpSessionListener;

import maitred.MaitredFilter;

/**
 * An agent's desk at its smallest: a page that counts visits, a login, a logout, and a note that follows the agent to the next
 * server. Everything that it has to do with maitred is in the lines that say {@code MaitredFilter}.
 */
public class Desk extends HttpServlet implements HttpSessionListener {
    private static final long serialVersionUID = 1;
    /** Sessions that were reset, for the page to show. */
    private static final AtomicInteger RESETS = new AtomicInteger();

    @Override
    protected void service(HttpServletRequest request, HttpServletResponse response) throws ServletException, IOException {
        String path = request.getServletPath();
        Map<String, Object> page = new LinkedHashMap<>();
        if (path.equals("/login")) {
            String agent = request.getParameter("agent");
            // ... the application checks who it is, and then:
            request.getSession().setAttribute("agent", agent);
            MaitredFilter.login(request, agent);
            page.put("note", MaitredFilter.state(request));
        } else if (path.equals("/attribute")) {
            // The same without a name of the filter's classes.
            request.getSession().setAttribute("maitred.agent", request.getParameter("agent"));
        } else if (path.equals("/renewed")) {
            // Some applications give each login a new HttpSession.
            request.getSession().invalidate();
            MaitredFilter.login(request, request.getParameter("agent"));
        } else if (path.equals("/note")) {
            page.put("written", written(request));
        } else if (path.equals("/read")) {
            page.put("note", MaitredFilter.state(request));
        } else if (path.equals("/link")) {
            // What this server needs has broken, or is back.
            MaitredFilter.depends(getServletContext(), "aes", "up".equals(request.getParameter("is")));
        } else if (path.equals("/logout")) {
            request.getSession().invalidate();
            page.put("note", "good bye");
        } else {
            HttpSession session = request.getSession();
            Integer before = (Integer) session.getAttribute("visits");
            session.setAttribute("visits", before == null ? 1 : before + 1);
        }
        show(request, response, page);
    }

    private static Object written(HttpServletRequest request) throws ServletException {
        try {
            return MaitredFilter.saveState(request, request.getParameter("text")).get(10, TimeUnit.SECONDS);
        } catch (java.util.concurrent.TimeoutException late) {
            return "later";
        } catch (InterruptedException | java.util.concurrent.ExecutionException failed) {
            throw new ServletException(failed);
        }
    }

    private static void show(HttpServletRequest request, HttpServletResponse response, Map<String, Object> page)
            throws IOException {
        HttpSession session = request.getSession(false);
        page.put("http_session", session == null ? null : session.getId());
        for (String name : new String[] {"agent", "visits", MaitredFilter.KEY, MaitredFilter.SESSION, MaitredFilter.GENERATION}) {
            page.put(name, session == null ? null : session.getAttribute(name));
        }
        page.put("resets", RESETS.get());
        page.put("query", request.getQueryString());
        response.setContentType("application/json");
        response.setCharacterEncoding("UTF-8");
        response.setHeader("Cache-Control", "no-store");
        StringBuilder text = new StringBuilder("{");
        page.forEach((name, value) -> {
            text.append(text.length() == 1 ? "" : ", ").append('"').append(name).append("\": ");
            boolean plain = value == null || value instanceof Number || value instanceof Boolean;
            text.append(plain ? String.valueOf(value) : '"' + value.toString().replace("\\", "\\\\").replace("\"", "\\\"") + '"');
        });
        response.getWriter().println(text.append('}'));
    }

    @Override
    public void sessionCreated(HttpSessionEvent event) {}

    @Override
    public void sessionDestroyed(HttpSessionEvent event) {
        // An application may learn why its session ends.
        if (event.getSession().getAttribute(MaitredFilter.RESET) != null) {
            RESETS.incrementAndGet();
        }
    }
}
