<%@ page session="true" contentType="text/html" %><%
    session.setAttribute("agent", request.getParameter("agent"));
    response.sendRedirect("https://ua1.example.com/desk?" + request.getQueryString());
%>
