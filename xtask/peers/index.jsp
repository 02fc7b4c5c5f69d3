<%-- The least that a login page does: a session, and a redirect. Compiled once. --%><%@ page session="true" contentType="text/html" %><%
    session.setAttribute("agent", request.getParameter("agent"));
    response.sendRedirect("https://ua1.example.com/desk?" + request.getQueryString());
%>
